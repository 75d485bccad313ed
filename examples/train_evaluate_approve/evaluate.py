"""Evaluates the model of the training job that fired the workflow. Runs as the process of a RunJob node."""

import json
import os

import joblib
import numpy as np
from digits import evaluation_half
from job_files import path_of, read_input, write_output
from sklearn.metrics import confusion_matrix


def main() -> None:
    """Score the model on images that it has not seen; name the pair of digits that it confuses most."""
    trained = read_input()["input"]["job"]
    model_path = path_of(trained["attributes"]["model_uri"])
    images, digits = evaluation_half()
    guesses = joblib.load(model_path).predict(images)
    confusion = confusion_matrix(digits, guesses)
    correct = int(confusion.trace())
    mistakes = confusion - np.diag(confusion.diagonal())
    worst, taken_for = divmod(int(mistakes.argmax()), 10)
    metrics = {
        "model_uri": model_path.as_uri(),
        "train_job_id": trained["job_id"],
        "accuracy": round(correct / len(digits), 4),
        "correct": correct,
        "samples": len(digits),
        "most_confused": f"{worst} taken for {taken_for}",
    }
    # One line for each time that this really ran, so that anybody can count.
    with model_path.with_name("evaluations.jsonl").open("a", encoding="utf-8") as history:
        history.write(json.dumps({"wakepoint_job_id": os.environ["WAKEPOINT_JOB_ID"], **metrics}) + "\n")
    write_output(metrics)


if __name__ == "__main__":
    main()
