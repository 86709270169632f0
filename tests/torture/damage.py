"""One byte of a file becomes another, in its place."""

from pathlib import Path


def flip(file: Path) -> None:
    """Change the byte in the middle; whoever else has the file by another name has it too."""
    file.chmod(0o600)
    with file.open("r+b") as opened:
        middle = file.stat().st_size // 2
        opened.seek(middle)
        (byte,) = opened.read(1)
        opened.seek(middle)
        opened.write(bytes([byte ^ 0xFF]))
