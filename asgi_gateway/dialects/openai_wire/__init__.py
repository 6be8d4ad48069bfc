"""What the formats of OpenAI's interface share: error object, usage object, members of a body, framing of answers.

No dialect of its own. Follows OpenAI's API reference (https://platform.openai.com/docs/api-reference).
"""
