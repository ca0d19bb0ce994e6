from __future__ import annotations

import polars as pl
import pytest

from pipelines.parameters.data import ValidateConfig
from pipelines.quality.language import LANGUAGES, guess_languages

SENTENCES = {
    "de": "Das Hemd ist nicht von hier und auch nicht rot.",
    "en": "The shirt is made for you and it is good.",
    "es": "Esta camisa es para usted y está hecha con el mejor algodón",
    "fr": "Cette chemise est pour vous et elle est dans le style",
    "it": "Questa camicia è per te ed è fatta con il cotone della casa",
    "nl": "Dit hemd is voor u en het is van de beste stof",
    "pl": "Ta koszula jest dla ciebie i nie jest z bawełny do prania",
    "pt": "Esta camisa é para você e não é feita com o algodão da casa",
    "sv": "Den här skjortan är för dig och den är av bomull som är mjuk",
    "ja": "この商品はとても良いです。ぜひお買い求めください。",
    "ko": "이 셔츠는 최고급 면으로 만들어졌습니다",
    "zh": "这件衬衫是用最好的棉花做的非常舒适。",
    "ru": "Эта рубашка сделана из лучшего хлопка",
    "el": "Αυτό το πουκάμισο είναι από βαμβάκι",
    "ar": "هذا القميص مصنوع من أجود أنواع القطن",
    "he": "החולצה הזו עשויה מכותנה משובחת",
    "hi": "यह कमीज सबसे अच्छे सूती कपड़े से बनी है",
    "th": "เสื้อเชิ้ตตัวนี้ทำจากผ้าฝ้ายอย่างดี",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_of_each_language_is_told(language: str) -> None:
    assert guess_languages(pl.Series([SENTENCES[language]])).to_list() == [language]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "Red shirt",
        "XL 100% 42 / 44",
        "chic le look",
        "Кот",
        "the a b c d e f g h i",
        "w 1 w 2 w 3 w 4 w 5 w 6 w 7 w 8 w 9",
    ],
)
def test_too_little_to_tell_is_left_undecided(text: str | None) -> None:
    assert guess_languages(pl.Series([text], dtype=pl.String)).to_list() == [None]


def test_each_text_keeps_its_place() -> None:
    texts = pl.Series([None, SENTENCES["de"], "", SENTENCES["ja"], SENTENCES["en"]])
    assert guess_languages(texts).to_list() == [None, "de", None, "ja", "en"]


def test_a_foreign_name_in_a_sentence_does_not_change_its_language() -> None:
    text = SENTENCES["en"] + " It is from 東京 and its name is Привет."
    assert guess_languages(pl.Series([text])).to_list() == ["en"]


def test_the_parameter_takes_every_language_that_can_be_told() -> None:
    for language in LANGUAGES:
        assert ValidateConfig(language=language).language == language
    assert set(SENTENCES) == set(LANGUAGES)
