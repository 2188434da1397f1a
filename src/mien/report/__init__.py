"""What a batch result holds, as numbers and as one HTML file."""

from __future__ import annotations

from mien.report.numbers import BatchReport, summarise
from mien.report.page import to_html

__all__ = ["BatchReport", "summarise", "to_html"]
