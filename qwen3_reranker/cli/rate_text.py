"""Documents a second, seconds, and bytes -> text with as many digits as they are worth."""


def rate_text(per_second: float) -> str:
    """4.40, 12.3, 1,234: as many digits as a measured speed is worth."""
    return f"{per_second:,.0f}" if per_second >= 99.95 else f"{per_second:#.3g}"


def seconds_text(seconds: float) -> str:
    """12.3 s, 0.12 s."""
    return f"{seconds:.{1 if seconds >= 1 else 2}f} s"


def byte_size(num_bytes: float) -> str:
    """1.1 GiB, 12.3 MiB."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes:.0f} B"
