"""The page on which a person answers an approval: without scripts, and fit for keyboards and screen readers."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from starlette.responses import HTMLResponse, Response

_STYLE = """
:root { color-scheme: light dark; }
body { font: 1.05rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 2rem auto; padding: 0 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
label { display: block; font-weight: 600; margin-top: 1rem; }
input, select, textarea { font: inherit; width: 100%; box-sizing: border-box; padding: .4rem; }
button { font: inherit; padding: .5rem 1.25rem; margin: 1.25rem 1rem 0 0; cursor: pointer; }
:focus-visible { outline: 3px solid #1a73e8; outline-offset: 2px; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    # The address is all that one needs to answer, so it must not travel on in a Referer header.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def question(workflow_id: str, run_id: str, node_id: str, approvers: Sequence[str], event_id: str) -> Response:
    """The form. `event_id` makes sending it twice count once; with `approvers` one of them is chosen from a list."""
    facts = "".join(
        f"<dt>{name}</dt><dd>{escape(value)}</dd>"
        for name, value in (("Workflow", workflow_id), ("Node", node_id), ("Run", run_id))
    )
    form = (
        f"<dl>{facts}</dl><form method='post' accept-charset='utf-8'>"
        f"<input type='hidden' name='event_id' value='{escape(event_id)}'>"
        f"<label for='approver'>Your name</label>{_approver_field(approvers)}"
        "<label for='comment'>Comment (optional)</label>"
        "<textarea id='comment' name='comment' rows='4' maxlength='4000'></textarea>"
        "<button name='decision' value='approve'>Approve</button>"
        "<button name='decision' value='reject'>Reject</button></form>"
    )
    return _page(200, "Approval wanted", form)


def statement(status: int, title: str, text: str) -> Response:
    """A page that only says something."""
    return _page(status, title, f"<p role='status'>{escape(text)}</p>")


def _approver_field(approvers: Sequence[str]) -> str:
    if not approvers:
        return "<input id='approver' name='approver' autocomplete='name' maxlength='200'>"
    choices = "".join(f"<option>{escape(name)}</option>" for name in approvers)
    return f"<select id='approver' name='approver' required><option value=''>Choose</option>{choices}</select>"


def _page(status: int, title: str, content: str) -> Response:
    return HTMLResponse(
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)} · Wakepoint</title><style>{_STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{content}</main></body></html>",
        status,
        _HEADERS,
    )
