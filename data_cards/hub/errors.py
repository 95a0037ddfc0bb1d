"""What goes wrong between here and the Hub, in words that say how to mend it; a token never shows in them."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from motionbench.errors import MotionBenchError

TOKEN = re.compile(r"hf_\w{6,}")
LOGIN = "log in with `hf auth login` or set HF_TOKEN"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class HubError(MotionBenchError):
    """The Hub cannot be reached, refuses, or holds something else than was asked for."""


@contextmanager
def hub_errors(action: str, repo: str) -> Iterator[None]:
    """Turns the client libraries' errors into HubError: what was tried, what came, how to mend it."""
    try:
        yield
    except MotionBenchError:
        raise
    except Exception as error:
        why = explain(error, repo)
        if why is None:
            raise  # not the Hub's doing: a fault here must keep its traceback
        raise HubError(f"cannot {action} {repo}: {without_token(why)}") from without_token_in(error)


def explain(error: BaseException, repo: str) -> str | None:
    """One sentence for an error or for the cause behind it; None if it is nothing that the Hub or the disk does."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        why = explain_one(link, repo)
        if why is not None:
            return why
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return None


def explain_one(error: BaseException, repo: str) -> str | None:
    """One sentence for an error by itself; None if it is of no known kind."""
    from huggingface_hub import errors as hub

    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return "the disk is full (or a quota or file-size limit is reached); free space, then repeat the command"
    if isinstance(error, hub.LocalTokenNotFoundError):
        return f"no token found; {LOGIN}"
    if isinstance(error, hub.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set; unset it, then repeat the command"
    if isinstance(error, hub.RevisionNotFoundError):
        return "there is no such branch, tag or commit; see the repository's page for those there are"
    if isinstance(error, hub.GatedRepoError):
        return f"its owner must first grant access; ask on its page, and {LOGIN}"
    if isinstance(error, hub.RepositoryNotFoundError):
        return (
            f"no such dataset repository, or it is private and this token may not see it; check the name, and {LOGIN}"
        )
    if isinstance(error, hub.EntryNotFoundError) and not isinstance(error, hub.LocalEntryNotFoundError):
        return "it lacks a file that its catalog names; push it again, or pull another revision"
    if isinstance(error, hub.HfHubHTTPError):
        return explain_status(error, repo)
    if is_network(error):
        return "the Hub cannot be reached; check network, HF_ENDPOINT and proxy, then repeat (what arrived is kept)"
    return None


def explain_status(error: Exception, repo: str) -> str:
    """One sentence for an answer that says no."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", 0)
    said = (getattr(error, "server_message", None) or "").strip().replace("\n", " ")
    sentences = {
        401: f"the Hub refuses the token; {LOGIN} with a valid one",
        403: f"this token may not write there; use a namespace of your own, or a token with write access to {repo}",
        409: "somebody else is changing it right now; repeat the command",
        412: "somebody else changed it in the meantime; repeat the command",
        413: "a part is larger than the Hub takes",
        429: "the Hub asks to slow down; repeat the command in a few minutes",
    }
    sentence = sentences.get(status, f"the Hub answered {status or 'something unexpected'}; repeat the command")
    return f"{sentence} (the Hub says: {said[:200]})" if said else sentence


def is_network(error: BaseException) -> bool:
    """Whether this is a broken, refused or timed-out connection, whichever HTTP library reports it."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return bool(kinds & {"TransportError", "ConnectError", "RequestException", "LocalEntryNotFoundError"})


def without_token(text: str) -> str:
    """The text with every access token blotted out, whatever put it there."""
    token = os.environ.get("HF_TOKEN", "").strip()
    if len(token) > 5:
        text = text.replace(token, "hf_***")
    return TOKEN.sub("hf_***", text)


def without_token_in(error: Exception) -> Exception:
    """The error itself, unless its text holds a token: then one of the same words without it."""
    return error if str(error) == without_token(str(error)) else RuntimeError(without_token(str(error)))
