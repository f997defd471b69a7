"""What a program found: tables for people, facts for machines, goals met or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Goal:
    """A sentence that the numbers make true or false; a ``law`` must hold on every machine, however noisy."""

    sentence: str
    met: bool
    law: bool = False


@dataclass
class Report:
    """Filled by a program, printed and written by ``benchmarks.serve``."""

    title: str
    lines: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def goal(self, sentence: str, met: bool, law: bool = False) -> None:
        self.goals.append(Goal(sentence, met, law))

    def markdown(self) -> str:
        goals = "\n".join(f"- {'met' if goal.met else 'NOT MET'}: {goal.sentence}" for goal in self.goals)
        return "\n\n".join([f"## {self.title}", *self.lines, *self.tables, *([goals] if goals else [])])

    def passed(self, strict: bool) -> bool:
        """Whether every law holds and, if ``strict``, every goal is met."""
        return all(goal.met for goal in self.goals if goal.law or strict)

    def document(self) -> dict[str, Any]:
        goals = [{"goal": goal.sentence, "met": goal.met, "law": goal.law} for goal in self.goals]
        return {"title": self.title, "facts": self.facts, "goals": goals}


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Headings, a rule, one line a row. Raises ValueError for a row of another length."""
    for row in rows:
        if len(row) != len(headings):
            raise ValueError(f"a row of {len(row)} cells under {len(headings)} headings")
    lines = ["| " + " | ".join(headings) + " |", "| --- " * len(headings) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def milliseconds(seconds: float | None) -> str:
    """One decimal; a dash for what could not be measured."""
    return "-" if seconds is None else f"{1e3 * seconds:.1f}"
