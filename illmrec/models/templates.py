"""The texts of the prompt: task, item, retrieval instruction, and the 20 alignment templates.

The paper gives the form of the templates and one example each; the wording here is ours (paper, 3.2 and appendix D.1).
``{}`` marks the property of the next item.
"""

from __future__ import annotations

PROPERTIES = ("brand", "category", "title", "description")

TASK = "A user consumed these items, from the oldest to the most recent.\n"
ITEM_BEFORE_TITLE = "Title: "
ITEM_BEFORE_IMAGE = " Image: "
ITEM_BEFORE_CF = " Taste: "
ITEM_BEFORE_BRAND = " Brand: "
ITEM_BEFORE_CATEGORY = " Category: "
ITEM_BEFORE_TEXT = " Description: "
ITEM_END = "\n"
CHAT_BEFORE, CHAT_BETWEEN = "USER: ", " ASSISTANT: "
"""What the authors' layout puts around a question and before its answer (their code uses Vicuna's chat form)."""
UNTITLED = "an item without a title"
INSTRUCTION = "Generate a recommendation token for the next item to be consumed: "

ALIGNMENT: tuple[tuple[str, str, str], ...] = (
    ("brand", "What brand is this user likely to consume next? ", "The brand likely to be consumed is '{}'"),
    ("brand", "Which brand will this user choose next? ", "The next choice is the brand '{}'"),
    ("brand", "Name the brand of the item that follows. ", "The item that follows is of the brand '{}'"),
    ("brand", "Whose product does this history lead to? ", "It leads to a product of '{}'"),
    ("brand", "Given these items, predict the maker of the next one. ", "The next one is made by '{}'"),
    ("category", "What category is the next item likely to have? ", "The category is likely to be '{}'"),
    ("category", "Which kind of item will this user look for next? ", "The user will look for '{}'"),
    ("category", "Name the category of the item that follows. ", "The item that follows belongs to '{}'"),
    ("category", "In which part of the shop does this history end? ", "It ends in '{}'"),
    ("category", "Given these items, predict the category of the next one. ", "The next one belongs to '{}'"),
    ("title", "What is the title of the next item this user will consume? ", "The title is '{}'"),
    ("title", "Which item will this user choose next? ", "The next choice is '{}'"),
    ("title", "Name the item that follows. ", "The item that follows is '{}'"),
    ("title", "What does this history lead to? ", "It leads to '{}'"),
    ("title", "Given these items, predict the title of the next one. ", "The next one is called '{}'"),
    ("description", "How would the next item be described? ", "It would be described as '{}'"),
    ("description", "What features will the next item have? ", "The next item has these features: '{}'"),
    ("description", "Describe the item that follows. ", "The item that follows: '{}'"),
    ("description", "What is this user going to like about the next item? ", "The user is going to like this: '{}'"),
    ("description", "Given these items, predict the description of the next one. ", "The description: '{}'"),
)
"""(property, question, answer) of each alignment template: 4 properties with 5 templates each."""


def all_prompt_texts() -> list[str]:
    """Return every constant text of the prompt; a tokenizer trained on the spot should know their words."""
    texts = [TASK, ITEM_BEFORE_TITLE, ITEM_BEFORE_IMAGE, UNTITLED, INSTRUCTION]
    texts += [ITEM_BEFORE_CF, ITEM_BEFORE_BRAND, ITEM_BEFORE_CATEGORY, ITEM_BEFORE_TEXT, CHAT_BEFORE, CHAT_BETWEEN]
    return texts + [question + answer for _, question, answer in ALIGNMENT]
