"""What each update was worth, as a validator measures it on its private holdout."""

from fabric_fl.scoring.leave_one_out import CAP, Scores, leave_one_out, millionths, score_round

__all__ = ["CAP", "Scores", "leave_one_out", "millionths", "score_round"]
