"""What HomeKit demands of what people write (HAP specification, R2), without knowing HAP-python."""

import re

MOST_ACCESSORIES = 149  # beside the bridge itself


def is_setup_code(text: str) -> bool:
    """Whether HomeKit takes it: XXX-XX-XXX, and none of the codes that everyone tries first."""
    if not re.fullmatch(r"\d{3}-\d{2}-\d{3}", text, re.ASCII):
        return False
    digits = text.replace("-", "")
    return len(set(digits)) > 1 and digits not in ("12345678", "87654321")
