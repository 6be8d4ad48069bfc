"""What an exchange costs: integer quota units, from decimal prices, rounded once.

**Formula.** With t(k) the tokens of kind k, p(k) the price of that kind in USD per million tokens,
s the multiplier of the class of service, r the ratio of the group, and 500 000 units to the USD:

    tokens = sum over k of t(k) * p(k) / 1 000 000
    beside = call + sum over images of n * p + milliseconds / 1000 * second + spoken / 1 000 000 * characters
    tools  = sum over kinds of calls * p / 1000
    charge = ceil( ((tokens + beside) * s + tools) * r * 500 000 )

Nothing is rounded before the sum. A kind without a price of its own is charged as another:

| kind | price | where it has none |
|---|---|---|
| `input` | `input` | |
| `cache_read` | `cache_read` | `input` |
| `cache_write` | `cache_write` | `input` |
| `cache_write_1h` | `cache_write_1h` | `cache_write`, then `input` |
| `audio_input` | `audio_input` | `input` |
| `image_input` | `image_input` | `input` |
| `output` | `output` | |
| `reasoning` | `reasoning` | `output` |
| `audio_output` | `audio_output` | `output` |
| `image_output` | `image_output` | `output` |

- **Context tiers.** The highest tier with less tokens (`above`) than the whole input, cached ones too, is the one
  that the whole exchange is charged by. What it does not say is as in the price; then the fallbacks apply.
- **Class of service.** What the upstream names in the usage; one without an entry has the multiplier 1.
  Tools cost the same in each.
- **`call`.** Once for an exchange in whose usage anything is counted. Nothing used costs nothing.
- **Images.** By the most exact entry: quality and size, the quality alone ("high/*"), the size alone, "*/*".
  One without an entry costs the tokens it was made of and nothing beside. Tokens of images are charged beside the
  price of an image: `image_output = 0` says that they are not.
- **Tools.** A kind without a price, "other" too, costs the tokens it used and nothing beside.

A charge is never negative: prices and ratios below 0 are refused, a count below 0 is taken as 0.
It is at most `MAX_CHARGE`, so that sums of charges fit a database's 64-bit integer.
The modules: `tariff` computes, `billing` says what is charged at all, `price_table` finds the price of a model,
`explanation` recomputes a charge by other means.
"""

from asgi_gateway.policies.billing import BILLING, BILLING_REASONS, Billing, settle_usage
from asgi_gateway.policies.price_table import PriceTable, price_version
from asgi_gateway.policies.tariff import MAX_CHARGE, Estimate, Tariff, cost, estimate

__all__ = [
    "BILLING",
    "BILLING_REASONS",
    "MAX_CHARGE",
    "Billing",
    "Estimate",
    "PriceTable",
    "Tariff",
    "cost",
    "estimate",
    "price_version",
    "settle_usage",
]
