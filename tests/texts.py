"""Texts that tokenizers stumble over: words, code, digits, tongues, emoji, spaces, and noise."""

import random

TEXTS = (
    "The old lighthouse stood at the end of a long stone pier.",
    "I'm sure they've said we'll go; it's what he'd've wanted, DON'T you? I'LL 'Sunday' 'S 'T",
    "'\u017f '\u212a \ufb01 \ufb02 \u00bd \u00b2 \u2460 \u2167",
    "12 345 678901 3.14159 1,000,000 0x1F 1e-5 2024-01-02T03:04:05Z $100 \u20ac50",
    "\u0663\u0664\u0665 \u0967\u0968\u0969 \U0001d7cf\U0001d7d0",
    "def f(x):\n    return x**2  # square\n\n\nclass A:\n\tpass\n",
    '{"a": [1, 2, {"b": null}]} SELECT * FROM t WHERE a=\'b\'; <html><td>x</td></html>',
    "a.b.c@d.com https://x.y/z?a=b&c=d#e C++ C# node.js snake_case camelCase ALLCAPS",
    "na\u00efve caf\u00e9 e\u0301 n\u0303 A\u030a a\u0300\u0301 \u1100\u1161\u11a8",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0416\u0429\u042e",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002 \u3053\u3093\u306b\u3061\u306f \uc548\ub155",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u0928\u092e\u0938\u094d\u0924\u0947",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u01c5 \u02b0 \u00aa",
    "\U0001f41d\U0001f3f3\ufe0f\u200d\U0001f308\U0001f469\u200d\U0001f467\U0001f1eb\U0001f1f7 :-)",
    "  leading, trailing  ",
    "a  b   c    d     e" + " " * 40 + "f",
    "\n\n\n\n a\n \n b\r\n\r\nx\r\ry\t\t\tx\t y \n",
    "\n" * 40 + "x",
    "\u00a0\u2003\u3000x \u2028y\u2029z\u0085w \u200b\u200d\ufeff",
    "\u0000\u0001\u001c\u001d\u001e\u001f\u007f \ufffd\ufffe\uffff\U0010ffff",
    "...... ------ ====== ##### aaaaaaa hahahaha abababa !!!???,,, ()[]{}<> \\n",
    "\u2581\u2581a\u2581b \u2581 c <0x0A><0x41>",
    "<|im_start|>user\nhi<|im_end|>\n<|im_end|><|im_end|> x <|im_end|>y<|endoftext|>",
    "<|im_end <|im_start|im_end|> <|<|im_end|>|>",
)
PIECES = (
    *(" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u200b", "\u2581"),
    *(
        "a",
        "A",
        "the",
        " the",
        "ing",
        "aa",
        "ab",
        "aba",
        "1",
        "22",
        "333",
        "4444",
        "\u0663",
        "\u00bd",
    ),
    *("'s", "'LL", "'", "!", "...", "-", "==", "=", "#", "_", "<", "|", ">", "<|im_end|>"),
    *(
        "e\u0301",
        "\u0436",
        "\u4f60",
        "\U0001f41d",
        "\U0001f469\u200d\U0001f467",
        "\u0000",
        "\u001c",
    ),
)


def noise(count: int, *, seed: int) -> list[str]:
    """Return texts of such pieces, of random letters of Latin-1, and of bytes that are no text."""
    chance = random.Random(seed)
    found: list[str] = []
    for place in range(count):
        content = bytes(chance.choices(range(256), k=chance.randint(1, 50)))
        match place % 3:
            case 0:
                found.append("".join(chance.choices(PIECES, k=chance.randint(1, 30))))
            case 1:
                found.append(content.decode("latin-1"))
            case _:
                found.append(content.decode(errors="replace"))
    return found
