"""Options as people write them: name=value. Loads neither torch nor gRPC."""

import re

from jscc.config import check_option, shown
from jscc.options import OptionValue


def option(text: str) -> tuple[str, OptionValue]:
    """Return the name and the value of an option name=value: true or false, a number, else text.

    Text in quotation marks is text, whatever it looks like.

    Raises:
        ValueError: it has another form, or the value is a list, not finite or beyond 64 bits; names the option.
    """
    name, equals, written = text.partition("=")
    if not equals or not name.isidentifier():
        raise ValueError(f"option: {shown(text)} is not of the form name=value")
    value = _value(written.strip())
    if isinstance(value, str) and written.strip()[:1] in ("[", "(", "{"):
        raise ValueError(f"option {name}: expected one number, true, false or text, got {written[:100]}")
    check_option(name, value)
    return name, value


def _value(text: str) -> OptionValue:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if re.fullmatch(r"[+-]?[0-9]{1,100}", text):
        return int(text)
    try:
        return float(text)
    except ValueError:
        return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
