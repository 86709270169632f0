"""A page that no model was calibrated with."""

PROSE = (
    "The old lighthouse stood at the end of a long stone pier. Every evening at 7 o'clock the"
    " keeper climbed its 199 steps, lit the lamp, and looked out over the grey water. Ships"
    " passed far away, and he knew most of them by the shape of their lights. On clear nights he"
    " wrote their names into a book; on foggy ones he rang the bell twice a minute until morning."
    "\n\nIn the spring of his twentieth year there, a letter came from the harbour office. The lamp"
    " was to be replaced by an electric one, which would switch itself on and off. Nobody would"
    " have to climb the stairs any more, the letter said, and the keeper would be given a small"
    " house in the village and a pension of 340 crowns a month. He read it three times, folded it,"
    " and put it between the pages of the book.\n\nThat night the wind turned to the north-west and"
    " grew into a storm. Around midnight the power failed in the whole district. The keeper did"
    " not notice, because his lamp burned oil; but the captain of the Margaret, who had lost his"
    " engine and drifted towards the rocks, saw exactly one light on the whole coast. He let the"
    " anchor go, and it held. When the engineers arrived in June with their cables and switches,"
    " they found a petition nailed to the door, signed by every fisherman within thirty miles."
    " They read it, looked at each other, and went home again. The lamp still burns oil today."
)
