"""A report to keep: what the models said of some uploads, one HTML page without scripts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from reports import sheet, words
from reports.sheet import Picture, Section, Table
from reports.web.answers import Answer, Pair, encoded
from reports.web.desk import Desk
from reports.web.refusal import Refusal
from reports.web.served import Served
from reports.web.uploads import Upload
from xai import overlay
from xai.maps.methods import INPUT, title
from xai.version import VERSION

HERE = Path(__file__).parent
SHOWN = 512  # pixels of a picture
LAYERS = 5  # of a model that are shown, the last ones
BESIDE = "hirescam"  # shown with the method to trust, which may map the image alone
ANSWERS = {"fake": "Fake", "real": "Real", "not sure": "Not sure"}
SAYS = {"passes": "passed the self-test", "fails": "failed the self-test", "unsure": "undecided in the self-test", "": "not in a self-test"}


class Paper:
    """A report that grows image by image; only its pictures are kept.

    Args:
        desk: does the work.
        served: the models that are asked.
    """

    def __init__(self, desk: Desk, served: list[Served]) -> None:
        self.desk, self.served = desk, served
        self.rows: list[tuple[str, ...]] = []
        self.sections: list[Section] = []
        self.images = self.right = self.refused = 0

    def add(self, upload: Upload, owner: str, until: float) -> None:
        """Take in one upload.

        Args:
            upload: the upload.
            owner: whose it is.
            until: when the report has taken too long, in `time.monotonic`'s seconds.

        Raises:
            Refusal: the server is too busy; what is wrong with the image itself stands in the report.
        """
        self.images += 1
        try:
            with self.desk.opened(upload, until) as image:
                for served in self.served:
                    self.ask(upload.name, image, served, owner)
        except Refusal as refusal:
            self.refuse(upload.name, "", refusal)

    def ask(self, name: str, image: np.ndarray, served: Served, owner: str) -> None:
        """Take in what a model says of an image."""
        try:
            answer = self.desk.explain(image, served, owner)
        except Refusal as refusal:
            self.refuse(name, served.name, refusal)
            return
        self.right += 1
        self.rows.append(self.row(name, answer))
        self.sections.append(self.section(name, answer))

    def refuse(self, name: str, model: str, refusal: Refusal) -> None:
        """Note an upload that could not be answered.

        Raises:
            Refusal: not for what it is, but because the server is too busy.
        """
        if refusal.again is not None:
            raise refusal
        self.refused += 1
        self.rows.append((name, model, "No answer", "", "", refusal.reason))

    def row(self, name: str, answer: Answer) -> tuple[str, ...]:
        """Return an answer as a row of the table."""
        says = ANSWERS[answer.says(self.desk.limits)]
        return name, answer.served.name, says, words.fixed(answer.probability, 3), words.fixed(answer.logit, 2), answer.view.note

    def section(self, name: str, answer: Answer) -> Section:
        """Return an answer with its pictures and parts."""
        image = overlay.thumbnail(answer.image, SHOWN)
        items: list[Picture | Table] = [Picture("What the network saw", encoded(image))]
        for pair in trusted(answer):
            picture = overlay.overlay(image, answer.maps[pair], answer.placements[pair[0]])
            empty = not answer.maps[pair].max() > 0
            known = answer.served.known
            note = "empty: nothing speaks for fake" if empty else SAYS[known.says(*pair) if known else ""]
            where = "the image itself" if pair[0] == INPUT else pair[0]
            items.append(Picture(f"{title(pair[1])}, {where}", encoded(picture), note))
        if answer.area is not None:
            items.append(parts(answer))
        lead = self.lead(answer)
        return Section(name if len(self.served) == 1 else f"{name}: {answer.served.name}", lead, tuple(items))

    def lead(self, answer: Answer) -> str:
        """Return an answer in sentences."""
        says, calibrated = answer.says(self.desk.limits), answer.served.temperature is not None
        kind = "calibrated on the validation images" if calibrated else "not calibrated: the model's own score"
        first = f"{ANSWERS[says]}: probability of fake {answer.probability:.1%} ({kind}), logit {answer.logit:.2f}."
        return "\n".join(filter(None, [first, f"The upload was {answer.view.note}." if answer.view.note else "", answer.faceless]))

    def page(self) -> str:
        """Return the page."""
        counts = [(words_of, sum(row[2] == words_of for row in self.rows)) for words_of in (*ANSWERS.values(), "No answer")]
        low, high = self.desk.limits.unsure
        header = ("Image", "Model", "Answer", "Probability of fake", "Logit", "Note")
        note = f"“Not sure” between probabilities of {low:g} and {high:g}."
        return sheet.page(
            self.rows[0][0] if self.images == 1 else f"{self.images} images",
            "What a detector of generated faces says, and on what it looks. A map shows where the evidence for fake is, not that it is right.",
            [(name, f"{count:,}", "") for name, count in counts if count],
            [Section("Answers", note, (Table("", header, self.rows),)), *self.sections],
            eyebrow=f"whyfake {VERSION}",
        )


def trusted(answer: Answer) -> list[Pair]:
    """Return the maps that are shown, of the last layers; those of the method to trust last."""
    method = answer.served.methods[-1]
    beside = [pair for pair in answer.maps if pair[1] == BESIDE and pair[1] != method]
    return beside[-LAYERS:] + [pair for pair in answer.maps if pair[1] == method][-LAYERS:]


def parts(answer: Answer) -> Table:
    """Return on which parts the most trusted map lies."""
    pair = trusted(answer)[-1]
    assert answer.area is not None
    order = np.argsort(-np.nan_to_num(answer.shares[pair]), kind="stable")
    names = list(answer.rows)
    rows = [
        (
            names[index].replace("_", " "),
            f"{answer.area[index]:.1%}",
            words.NONE if np.isnan(share := answer.shares[pair][index]) else f"{share:.1%}",
            words.NONE if np.isnan(share) else words.fixed(share / answer.area[index], 2),
        )
        for index in order
        if answer.area[index] > 0
    ]
    note = "Density is the share of the map divided by the share of the picture: 1 is what a map without any preference would have."
    return Table(f"Parts of the face: {title(pair[1])}, {pair[0]}", ("Part", "Of the picture", "Of the map", "Density"), rows, note)
