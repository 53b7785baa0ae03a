"""What can go wrong, by what to do about it."""
from __future__ import annotations

from typing import Any, Optional


class LatheError(Exception):
    """Everything this package raises by itself."""


class Unreachable(LatheError):
    """The service did not answer. Trying again later may help."""

    retryable = True
    retry_after: Optional[float] = None


class NotFinished(LatheError):
    """wait() was given a limit, and it passed."""


class ApiError(LatheError):
    """The service said no: its problem document (RFC 9457)."""

    def __init__(self, status: int, problem: dict[str, Any], retry_after: Optional[float] = None):
        self.status = status
        self.retry_after = retry_after
        self.problem = problem
        self.code: str = str(problem.get("code", ""))
        self.request_id: str = str(problem.get("request_id", ""))
        self.fields: list[dict[str, str]] = list(problem.get("errors") or [])
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        text = str(self.problem.get("detail") or self.problem.get("title") or f"HTTP {self.status}")
        for field in self.fields:
            text += f"; {field.get('pointer', '/')}: {field.get('detail', '')}"
        return text

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in (408, 429, 502, 503, 504)
