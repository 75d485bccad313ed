"""Trains a classifier of handwritten digits and tells Wakepoint about it.

    python train.py --experiment digits --folder /tmp/digits

Nothing here knows of workflows: the script reports a TRAIN job, and whichever workflow asked for one starts.
"""

import argparse
import time
from pathlib import Path

import joblib
from digits import training_half
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wakepoint.client import report_job


def main() -> None:
    """Train on one half of the data set; the other half is left to the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiment", default=None, help="default: WAKEPOINT_EXPERIMENT_ID")
    parser.add_argument("--folder", type=Path, required=True, help="where the model is put")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    with report_job("TRAIN", name="digits", experiment_id=options.experiment) as job:
        images, digits = training_half()
        start = time.monotonic()
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=1000)).fit(images, digits)
        path = options.folder.resolve() / f"model-{job.job_id}.joblib"
        joblib.dump(model, path)
        job.attributes["model_uri"] = path.as_uri()
        job.attributes["samples"] = len(images)
        job.attributes["train_accuracy"] = round(model.score(images, digits), 4)
        job.attributes["seconds"] = round(time.monotonic() - start, 3)
    print(f"job {job.job_id}: {dict(job.attributes)}")
    for firing in job.answer.firings if job.answer else ():
        print(f"firing {firing.firing_id} of workflow {firing.workflow_id}")


if __name__ == "__main__":
    main()
