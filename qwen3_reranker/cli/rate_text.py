"""Documents a second -> text with three digits or more."""


def rate_text(per_second: float) -> str:
    """4.40, 12.3, 1,234: as many digits as a measured speed is worth."""
    return f"{per_second:,.0f}" if per_second >= 99.95 else f"{per_second:#.3g}"
