"""Exports an approved model to plain JSON, from which digits can be told without scikit-learn. Run by a RunJob node.

Its job type is EXPORT_MODEL: its completion starts every workflow that waits for one.
"""

import hashlib
import json
from typing import Any

import joblib
import numpy as np
from digits import evaluation_half
from job_files import path_of, read_input, write_output


def main() -> None:
    """Export the model that the evaluation upstream has scored, under the name of who approved it."""
    inputs = read_input()["inputs"]
    evaluation, approval = inputs["evaluation"], inputs["approval"]["payload"]
    source = path_of(evaluation["model_uri"])
    model = joblib.load(source)
    document = {**exported(model), "accuracy": evaluation["accuracy"], "approved_by": approval["approver"]}
    check(document, model)
    text = json.dumps(document)
    target = source.with_suffix(".json")
    target.write_text(text, encoding="utf-8")
    write_output(
        {
            "export_uri": target.as_uri(),
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "bytes": len(text),
            "train_job_id": evaluation["train_job_id"],
            "accuracy": evaluation["accuracy"],
            "correct": evaluation["correct"],
            "samples": evaluation["samples"],
            "approved_by": approval["approver"],
            "comment": approval["comment"],
        }
    )


def exported(model: Any) -> dict[str, Any]:
    """Scaling and classification as one linear map: the digit is `classes[argmax(weights @ pixels + bias)]`."""
    scaler, classifier = model[0], model[-1]
    weights = classifier.coef_ / scaler.scale_
    bias = classifier.intercept_ - weights @ scaler.mean_
    return {"classes": classifier.classes_.tolist(), "weights": weights.tolist(), "bias": bias.tolist()}


def check(document: dict[str, Any], model: Any) -> None:
    """An export that would tell other digits than the model fails the job."""
    images, _ = evaluation_half()
    scores = images @ np.array(document["weights"]).T + np.array(document["bias"])
    guesses = np.array(document["classes"])[scores.argmax(axis=1)]
    different = int((guesses != model.predict(images)).sum())
    if different:
        raise SystemExit(f"the export tells {different} of {len(images)} digits differently from the model")


if __name__ == "__main__":
    main()
