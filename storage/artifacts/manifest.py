"""The manifest of an artefact: what it is, and what it was made of."""

import pydantic


class Recipe(pydantic.BaseModel):
    """What an artefact is made of: where all of this is equal, it is used again.

    A model that began from the version before, and settings that were kept from an earlier search, also depend on what
    was there before; their facts say so.
    """

    code_version: str
    settings: dict[str, object]  # those that can change the result
    fixed: list[str] = []  # the settings that were given, where tuning chooses the others
    inputs: dict[str, str]  # data version of every upstream asset


class Origin(pydantic.BaseModel):
    """Which artefact it is and what it is made of: everything that is known of it before it is made."""

    asset: str
    dataset: str
    recipe: Recipe
    numbering: dict[str, str]  # version of what its integer ids come from
    run: str = ""  # the Dagster run that made it
    read: dict[str, str] = {}  # data version of every upstream asset when it was last made or found to be unchanged
    variant: str = ""  # of a run with settings of its own; empty for what is published


class Manifest(Origin):
    """What one artefact is and what it was made of. It is written after the artefact, and never without it."""

    path: str  # below the data root; absolute for a local dump that is used where it lies
    bytes: int
    sha256: str
    data_version: str
    facts: dict[str, object]  # what a person was shown of it
    seconds: float
    rows: int | None = None
    made_at: int = 0  # ms since the epoch
    verdicts: dict[str, bool] = {}  # of its blocking checks, by name: whether it passed

    @property
    def failed(self) -> list[str]:
        """The blocking checks that it did not pass."""
        return [check for check, passed in self.verdicts.items() if not passed]
