"""Which language a description is in, told by its script and its commonest words.

Good enough to notice that a share of a catalog is in another language, and no more: a text with too few telling words
is left undecided. Trained language identifiers know more languages, at the price of a model to ship and to pin; a share
of a catalog does not need one.
"""

from __future__ import annotations

import polars as pl

MIN_WORDS = 8
"""Words a text in Latin letters must have."""
MIN_TELLING_WORDS = 2
"""Different common words of the language that must be among them."""
MIN_LETTERS = 10
"""Letters of a script that a text in another script must have."""

COMMON_WORDS = {
    "de": "der die das und ist nicht ein eine einen mit von für auf den dem des im zu auch aus wird sich oder bei",
    "en": "the and of to is in with for this that your from are you it on or be by an as will has have our",
    "es": "el los las y es en con para por una del que se su al como más esta este sin son o",
    "fr": "le les des et est dans avec pour une du que qui sur ce cette vous votre au aux sont pas ou",
    "it": "il lo gli e è di con per una della del che si nel alla sono anche questo questa come o dei delle",
    "nl": "de het een en is van met voor in op dat die zijn niet ook aan bij door of deze uw je wordt",
    "pl": "i w na z do jest się nie to dla oraz o od jak po przez lub ale tym które który są",
    "pt": "o os as e é em com para uma do da dos das que se no na ao por mais seu sua ou",
    "sv": "och att det en ett är på av för med som den till inte i om har kan från eller denna din",
}
"""Language -> words that hardly a sentence of it goes without; no word list is complete, none needs to be."""

SCRIPTS = {
    "ja": r"[\p{Hiragana}\p{Katakana}]",
    "ko": r"\p{Hangul}",
    "zh": r"\p{Han}",
    "ru": r"\p{Cyrillic}",
    "el": r"\p{Greek}",
    "ar": r"\p{Arabic}",
    "he": r"\p{Hebrew}",
    "hi": r"\p{Devanagari}",
    "th": r"\p{Thai}",
}
"""Language -> letters that stand for it. Several languages share some of these scripts; each is named after one."""

LANGUAGES = (*COMMON_WORDS, *SCRIPTS)
JAPANESE_SHARE = 0.1
"""Japanese mixes Han characters with its own; this share of its own tells it from Chinese."""


def guess_languages(texts: pl.Series) -> pl.Series:
    """Return the language code of each text, or null where it cannot be told."""
    numbered = pl.DataFrame({"text": texts}).with_row_index("number")
    guesses = numbered.with_columns(_guess_by_script(pl.col("text")).alias("script"))
    guesses = guesses.join(_guess_by_words(numbered), on="number", how="left", maintain_order="left")
    return guesses.select(pl.coalesce("script", "language")).to_series()


def _guess_by_script(text: pl.Expr) -> pl.Expr:
    """Return the language of the script that most letters belong to; null for Latin script and for few letters."""
    letters = text.str.count_matches(r"\p{L}")
    counts = {language: text.str.count_matches(letter) for language, letter in SCRIPTS.items()}
    both = counts["zh"] + counts["ja"]
    japanese = counts["ja"] >= JAPANESE_SHARE * both
    counts["ja"], counts["zh"] = pl.when(japanese).then(both).otherwise(0), pl.when(japanese).then(0).otherwise(both)
    guess = pl.lit(None, pl.String)
    for language, count in counts.items():
        enough = (count >= MIN_LETTERS) & (2 * count > letters)
        guess = pl.when(enough).then(pl.lit(language)).otherwise(guess)
    return guess


def _guess_by_words(numbered: pl.DataFrame) -> pl.DataFrame:
    """Return ``number`` and ``language`` of the texts with more common words of one language than of any other."""
    listed = [(word, language) for language, words in COMMON_WORDS.items() for word in words.split()]
    common = pl.DataFrame(listed, schema=["word", "language"], orient="row")
    words = numbered.select("number", pl.col("text").str.to_lowercase().str.extract_all(r"\p{L}+").alias("word"))
    words = words.filter(pl.col("word").list.len() >= MIN_WORDS)
    # Each word counts once: a code or a unit that a text repeats is no sign of a language.
    counts = words.explode("word").unique().join(common, on="word").group_by("number", "language").len("count")
    most = counts.filter(
        (pl.col("count") == pl.col("count").max().over("number")) & (pl.col("count") >= MIN_TELLING_WORDS)
    )
    return most.filter(pl.len().over("number") == 1).select("number", "language")
