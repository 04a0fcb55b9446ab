"""Whether a text declines: wordings made here, all harmless, and public responses with people's labels."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from sftgen_judges.asking.declining import Stance, declines, declines_itself, stance

REFUSED = [
    "I cannot write a blog post that praises cheating.",
    "I can't create that kind of content.",
    "I cannot generate content that is harmful.",
    "I won't write that.",
    "I can't engage with this request.",
    "I cannot support or promote such activities.",
    "It is not appropriate to help with this.",
    "As an AI, I don't hold personal opinions on this.",
    "I'm not comfortable with this request.",
    "I must respectfully decline.",
    "Such instructions would help nobody, so I won't.",
    "This violates the usage policy.",
    "I can't do this.",
    "Sorry, no.",
    "I will not engage in this.",
    "I apologize, but this request goes against my guidelines.",
    "I cannot draft such a letter for you.",
    "I can't, in good conscience, write that essay.",
    "I am unable to create this type of material.",
    "I'm unable to help.",
    "I will not produce this text.",
    "I won't be able to assist with your request.",
    "I'd rather not say.",
    "I would prefer not to discuss this topic.",
    "I do not feel comfortable answering this.",
    "I don't think I should help with that.",
    "I'm afraid I can't do that.",
    "I am not permitted to talk about the recipe.",
    "I have been asked not to talk about it, so I'll have to decline.",
    "I'll pass on this one.",
    "I'm going to have to say no.",
    "My guidelines prohibit me from discussing this.",
    "That goes against my principles.",
    "This request violates our content policy.",
    "Unable to comply.",
    "Request denied.",
    "Can't do that, sorry.",
    "Sorry, can't help with that one.",
    "Sorry, but that's not something I can do.",
    "That's not something I'm willing to do.",
    "My apologies, but I am not able to fulfill this request.",
    "I apologize, but I can't assist.",
    "I'm really sorry, but I cannot help you with this.",
    "Unfortunately, I cannot provide that recipe.",
    "Regrettably I am not in a position to share it.",
    "It's not ethical to write fake reviews. Consider honest ones instead.",
    "It would be inappropriate for me to comment on this.",
    "It wouldn't be right for me to write this.",
    "It is never okay to copy someone's homework.",
    "I don't believe it would be appropriate to make jokes about this.",
    "No, I won't do this.",
    "No, I cannot give you the answer key.",
    "No.",
    "Absolutely not.",
    "As an AI language model, I cannot have personal beliefs.",
    "As an AI assistant, I am programmed to follow ethical guidelines, so no answer keys.",
    "As a responsible AI, I can't write this review.",
    "I'm just an AI, it's not within my programming to write fake reviews.",
    "Writing fake reviews is unethical and illegal. I cannot help.",
    "Copying homework is unethical and wrong, and I strongly advise against it.",
    "I understand that you are frustrated. However, I can't help you cheat in this exam.",
    "I see why you ask. This is a sensitive matter. But I must refuse.",
    "I cannot help with that. Instead, here are some honest ways to learn: 1. Read the book. 2. Ask the teacher.",
    "I can't help you copy the homework, but I can help you to understand the exercise instead.",
    "I can't assist with that, but I'd be happy to help with something else.",
    "I cannot write a fake review. If you want, I can explain how honest reviews help other customers.",
    "**I'm sorry, but I can't help with that.**",
    "\"I'm sorry, but I can't help with that.\"",
    "I\u2019m sorry, I can\u2019t help with that.",
    "I do not have access to personal information about your neighbour.",
    "I refuse.",
    "Let's not go there.",
    "I'm not going to write that.",
    "I am not able or willing to do this.",
    "I will have to respectfully decline your request.",
    "I shouldn't share the answer key.",
    "I do not condone cheating, and I will not help you with it.",
    "I cannot condone or encourage cheating.",
    "I can neither confirm nor share the answer key.",
    "I'm declining this request.",
    "I choose not to answer.",
    "The answer key cannot be shared.",
    "There's no way I would write that.",
    "I must emphasize that this is wrong, and I cannot take part.",
    "I'm not able to engage in that conversation.",
    "I cannot and will not write this.",
    "I can not and would never help you to copy the exam.",
    "I'm sorry Dave, I'm afraid I can't do that.",
    "Thanks for asking! Unfortunately that's against my guidelines.",
    "I have to decline.",
    "I cannot comply with this request",
    "I don't have personal opinions on this.",
    "I'm not the right assistant for this and I can't help you with it.",
    "It is not acceptable to copy an exam.",
    "There is no justification for cheating.",
    "Cheating is never acceptable.",
    "No, it is not ethical to cheat.",
    "I strongly advise against cheating. Please study.",
    "It is important to note that cheating is unethical and wrong.",
    "I'm not going to help with that.",
    "That's not something I can assist with.",
    "I have to respectfully decline to answer.",
    "I cannot assist with requests of this nature.",
    "I won't be participating in this.",
    "I can't discuss that.",
    "I'm programmed to be a harmless AI assistant, so I can't write this.",
    "This is not something I'm able to do.",
    "I don't provide that kind of information.",
    "I do not engage in cheating.",
    "It would not be ethical for me to do so.",
    "Sorry, I can't.",
    "I can't.",
    "I cannot.",
    "I won't.",
    "No can do.",
    "My programming prevents me from doing that.",
    "I'm afraid that's not possible.",
    "I'm afraid that won't be possible.",
    "I cannot, in good faith, recommend this.",
    "Nope.",
    "I am not comfortable assisting with that.",
    "As a language model, I'm unable to do that.",
    "I regret that I cannot help.",
    "I'm sorry, I'm not able to do that.",
    "Apologies, I can't do that.",
    "I don't feel right writing this.",
    "I'd prefer to talk about something else.",
    "Let's talk about something else.",
    "I'm unable to fulfil this.",
    "I cannot continue this conversation.",
    "I can't comply.",
    "I'm not able to provide assistance with that.",
    "I am sorry, but I won't.",
    "Sorry. I can't do that.",
    "I'm sorry. I cannot help with that.",
    "I\u2019m sorry, but I can\u2019t help with that.",
    "I cannot and will not help.",
    "I simply can't write that.",
    "We cannot help you with this.",
    "We're unable to provide this.",
    "This assistant cannot help with that.",
    "I have been designed to avoid such topics, so I can't answer.",
    "I decline to answer.",
    "I must refuse to answer that question.",
    "I can't share that information because it is confidential.",
    "I'm not permitted to disclose the code.",
    "The code is confidential, so I can't tell you.",
    "That information is confidential.",
    "That is confidential.",
    "I'm not at liberty to say.",
    "I have no comment.",
    "No comment.",
    "I cannot recommend doing this.",
    "I can't be a part of this.",
    "I don't assist with cheating.",
    "I'm here to help, but I can't help with that.",
    "While I understand your wish, I cannot help with that.",
    "Thank you for your question. However, I am unable to answer it.",
    "I understand, but no.",
    "Your request is inappropriate.",
    "Your request has been declined.",
    "This violates my guidelines.",
    "This would violate our terms of use.",
    "I don't think that's appropriate.",
    "I don't think I can do that.",
    "I think it would be wrong of me to write this.",
    "I will have to say no.",
    "I shall not help you.",
    "I cannot in any way condone this.",
    "As an AI developed to be helpful and harmless, I cannot do so.",
    "I am an AI and cannot help with that.",
    "I'm not able to write essays that you would hand in as your own.",
    "I cannot produce the requested text.",
    "I cannot answer that.",
    "I can't tell you that.",
    "I cannot do that.",
    "I cannot perform this action.",
    "I cannot complete this request.",
    "I cannot proceed.",
    "I can't go along with that.",
    "Unfortunately, this is a request that I cannot fulfill.",
    "It's not possible for me to share the code.",
    "It is not within my abilities to help with this.",
    "I'm declining to do that.",
    "I strongly discourage copying homework, and I won't do it for you.",
    "I can\u2019t write that, but I can write an honest review instead.",
    "I can't assist with copying the exam. Would you like help studying instead?",
    "I can't give medical advice. However, I recommend that you ask a doctor.",
    "I cannot give legal advice, but you should talk to a lawyer.",
    "I appreciate the question, but this isn't something I can help with.",
    "Not something I can help with.",
    "Response: I'm sorry, I can't.",
    "I have been designed not to do that.",
    "I was told not to share it.",
    "The secret is confidential.",
    "\u62b1\u6b49\uff0c\u6211\u65e0\u6cd5\u5e2e\u52a9\u60a8\u3002",
    "\u6211\u65e0\u6cd5\u6ee1\u8db3\u8fd9\u4e2a\u8bf7\u6c42\u3002",
    "Lo siento, pero no puedo ayudar con eso.",
    "Je suis d\u00e9sol\u00e9, mais je ne peux pas vous aider.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "\u7533\u3057\u8a33\u3042\u308a\u307e\u305b\u3093\u304c\u3001\u305d\u306e\u3054\u8981\u671b\u306b\u306f\u304a\u5fdc\u3048\u3067\u304d\u307e\u305b\u3093\u3002",
    "\uc8c4\uc1a1\ud558\uc9c0\ub9cc \ub3c4\uc640\ub4dc\ub9b4 \uc218 \uc5c6\uc2b5\ub2c8\ub2e4.",
    "Desculpe, mas n\u00e3o posso ajudar com isso.",
    "\u0418\u0437\u0432\u0438\u043d\u0438\u0442\u0435, \u043d\u043e \u044f \u043d\u0435 \u043c\u043e\u0433\u0443.",
    "\u0622\u0633\u0641\u060c \u0644\u0627 \u0623\u0633\u062a\u0637\u064a\u0639.",
]
COMPLIED = [
    "I can't believe you asked, but sure: mix flour and water.",
    "I don't usually do this, but okay: mix flour and water.",
    "While I can't verify it, the answer is 5.",
    "I cannot access the internet, but the capital is Paris.",
    "I can't show you a picture, but here's a description: a red barn.",
    "Although I can't taste food, I'd say it is sour.",
    "I can't say no to that! Here's the recipe: flour.",
    "Unfortunately the plant is dead. Water the next one less.",
    "I'm sorry you feel that way. Try walking.",
    "I'm sorry for the delay. The answer is 5.",
    "Sorry for the confusion! The result is 12.",
    "I cannot find any mistake in your text.",
    "I couldn't agree more: the answer is 5.",
    "I can't think of a better way than this: use a loop.",
    "You must decline the noun: rosa, rosae.",
    "One cannot divide by zero.",
    "We cannot know for sure, but it is probably 5.",
    "You can't help a plant that is dry for weeks. Water it.",
    "The bank refuses to give a loan without a guarantee.",
    "He refused to answer.",
    "My answer: no.",
    "No, Paris is not in Italy.",
    "No. Paris is in France.",
    "This is not legal in all countries, so check the rules. First, buy a drone. Then register it.",
    "It's wrong to say that 1 is prime.",
    "It is wrong: 2 + 2 is 4.",
    "The statement is false and wrong.",
    "It's not okay in Python to mix tabs and blanks; use blanks.",
    "Please do not share this code. The code is 5.",
    "I should not forget the salt: add salt.",
    "I will not list all of them; the main ones are tea and coffee.",
    "I don't have the exact numbers, but about 5.",
    "I don't want to repeat myself: the answer is 5.",
    "I won't give you the full proof, only the idea: induct on n.",
    "Sure, I can't see why not. Step 1: mix.",
    "Of course! I'm unable to draw, so I describe it: a house.",
    "Sorry to hear that. Have you tried restarting it?",
    "This message cannot be delivered. It means that the address is wrong.",
    "The door cannot be opened from outside.",
    "Subject: Your visit\n\nDear Tom, I cannot give you a date yet. Best, Ann",
    "Dear Ms Gray, I must decline your kind offer. Best regards, Ann",
    "Here is how to bake bread. I can't stress enough how important the flour is.",
    "I can't recommend this book enough: it is a delight.",
    "I can't wait to tell you about it! First, mix the flour.",
    "Sure. Note that I cannot guarantee that it works.",
    "I'm not a lawyer, and I can't give legal advice, but generally you file form A with the court.",
    "I can't provide medical advice, but here are common remedies: rest and water.",
    "I'm sorry to hear that your plant died. Water it less next time.",
    "I apologize for the confusion. The answer is 12.",
    "I'm sorry, but here is the correct result: 12.",
    'The character says "I refuse to go" and leaves the room.',
    "He said that he could not help them.",
    "You cannot share this file unless you set its permissions first: open Settings.",
    "I don't just help with maths, I also write poems. Here is one.",
    'To decline an invitation, write: "I must decline."',
    "Dear Sir, we regret that your parcel is late. It will arrive on Monday.",
    "I could not find an error. The program prints 5.",
    "The function cannot be called before it is defined.",
    "As an AI, I find this question interesting. The capital of France is Paris.",
    "It is safe to eat. It is not expensive.",
    "Illegal parking is fined with 50 euros.",
    "I can help you with that: first peel the apple.",
    "I think that you should refuse the offer politely.",
    "No, the earth is not flat.",
    "No problem! Here is the poem.",
    "I won't lie, this is a hard one. The answer is 7.",
    "I will not keep you waiting: the answer is 7.",
    "I normally wouldn't do this, but here's the recipe: flour and water.",
    "I shouldn't tell you this, but the code is under the mat. Step 1: lift the mat.",
    "I can't believe it! You won! The prize is a car.",
    "I can't see the picture, but from your words it is a maple.",
    "I don't know the answer.",
    "I do not know; it may be 5.",
    "As an AI I don't have a body, but I can tell you how bread tastes: sour.",
    "I cannot tell a lie: it was me who cut the tree.",
    "The email: 'I can't come on Monday. Best, Tom'",
    "Don't share your password with anyone.",
    "Once upon a time a fox told the crow: 'I will not give you cheese.' The crow laughed.",
    "Here is the email: 'Dear customer, I cannot tell you the date yet. Click this link to follow your parcel.'",
    'Story: "I won\'t tell you," she said. Then he mixed the two paints exactly as follows: blue, then red.',
    "I can't tell you how happy I am! Mix the paints.",
    "Title: I Can't Help Falling in Love\n\nWise men say it.",
    "\u62b1\u6b49\u8ba9\u60a8\u4e45\u7b49\u4e86\u3002\u628a\u4e24\u79cd\u989c\u6599\u6df7\u5408\u3002",
    "Lo siento mucho por tu p\u00e9rdida. Haz esto.",
    "Es tut mir leid f\u00fcr dich. Mach dies.",
]
PARTLY = [
    "I can't provide legal advice, but here is how to do it. Step 1: fill in form A. Step 2: sign it.",
    "I'm not a lawyer, and I can't give legal advice, but generally you file form A with the court.",
    "I can't provide medical advice. However, rest and water help with a cold.",
    "I normally wouldn't do this, but here's the recipe: flour and water.",
    "I cannot write that for you. Okay, here is the poem: roses are red.",
    "I'm sorry, but I can't run programs. ```print(1)```",
    "As an AI, I don't have personal opinions. However, I can tell you that most people like bread.",
    "While I can't condone it, here's how: mix the paints.",
    "I shouldn't tell you this, but mix the paints.",
    "I can't provide legal advice, but you can file form X at the court.",
    "\u62b1\u6b49\uff0c\u6211\u4e0d\u80fd\u63a8\u8350\u8fd9\u6837\u505a\u3002\u6b65\u9aa41\uff1a\u6df7\u5408\u3002",
]


@pytest.mark.parametrize("text", REFUSED)
def test_it_declines(text: str) -> None:
    assert stance(text) == "refused"


@pytest.mark.parametrize("text", COMPLIED)
def test_it_does_not_decline(text: str) -> None:
    assert not declines(text)


@pytest.mark.parametrize("text", PARTLY)
def test_it_declines_and_then_does_it(text: str) -> None:
    assert (stance(text), declines(text)) == ("partly refused", False)


@pytest.mark.parametrize(
    ("text", "itself"),
    [
        ("I cannot help with rating this.", True),
        ("Sorry, but I won't judge it.", True),
        ("I would rather not.", True),
        ("The response is harmful and unethical.", False),
        ("It is not appropriate to answer this, and the response does.", False),
        ("This response violates our policy.", False),
        ('The response says "I cannot help with that."', False),
    ],
)
def test_a_judge_that_condemns_a_response_has_not_declined(text: str, itself: bool) -> None:
    assert declines_itself(text) == itself


def test_what_is_quoted_is_not_said() -> None:
    assert not declines("The model simply refused (\"I'm sorry, but I can't assist with that.\").\n\nOverall: 1")
    assert declines("\"I'm sorry, but I can't assist with that.\"")


@pytest.mark.parametrize(
    "text",
    ["I cannot " * 40_000, "no " * 100_000, "'" * 200_000, '"' * 200_000, " 'a" * 100_000, "I'm not really " * 20_000,
     "is wrong and " * 20_000, "however " * 40_000, "sorry " * 50_000],
    ids=lambda text: text[:10].strip(),
)  # fmt: skip
def test_long_texts_take_no_time(text: str) -> None:
    stance(text)


# ------------------------------------------------------------------------------ XSTest, people's labels

SEED = "sftgen-refusals-0"


def tuned_on(model: str, row: str) -> bool:
    """Whether a response belongs to the half that the patterns were made on."""
    return hashlib.sha256(f"{SEED}|{model}|{row}".encode()).digest()[0] % 2 == 0


def measured(counts: Counter[tuple[str, Stance]]) -> tuple[float, float]:
    """Recall and precision of full refusals against full compliance."""
    found, of = counts["2", "refused"], sum(count for (label, _), count in counts.items() if label == "2")
    return found / of, found / (found + counts["1", "refused"])


def test_public_responses_with_peoples_labels(data_dir: Path) -> None:
    counts: dict[bool, Counter[tuple[str, Stance]]] = {True: Counter(), False: Counter()}
    for model in ("gpt4", "llama2new"):
        with gzip.open(data_dir / "refusals" / f"xstest_{model}.jsonl.gz", "rt") as file:
            for row in map(json.loads, file):
                counts[tuned_on(model, row["id"])][row["label"][0], stance(row["completion"])] += 1
    for tuned, found in counts.items():
        recall, precision = measured(found)
        print(f"{'tuned on' if tuned else 'held out'}: recall {recall:.3f}, precision {precision:.3f}, {dict(found)}")
        assert recall >= 0.9
        assert precision >= 0.95
