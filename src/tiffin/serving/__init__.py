"""Answering online: prepared plans that read the newest rows of entities from the online index."""

from tiffin.serving.answer import OnlineAnswer, Shape, Status
from tiffin.serving.columns import AnswerColumns
from tiffin.serving.plan import OnlinePlan, Plans

__all__ = ["AnswerColumns", "OnlineAnswer", "OnlinePlan", "Plans", "Shape", "Status"]
