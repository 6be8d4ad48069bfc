"""Empty databases on a server that runs."""

from secrets import token_hex

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from asgi_gateway.backends.sql.address import address_of

__all__ = ["fresh_database"]


def fresh_database(url: str) -> str:
    """The URL of a new database on the server of `url`."""
    name = "gateway_" + token_hex(8)
    engine = create_engine(address_of(url).url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)
