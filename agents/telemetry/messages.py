"""Contents of spans: messages of every convention in the one form of the GenAI conventions, other values as JSON.

The form (https://github.com/open-telemetry/semantic-conventions-genai, gen-ai-input-messages.json)::

    [{"role": "user", "parts": [{"type": "text", "content": "…"}]},
     {"role": "assistant", "parts": [{"type": "tool_call", "id": "…", "name": "…", "arguments": {…}}]},
     {"role": "tool", "parts": [{"type": "tool_call_response", "id": "…", "response": …}]}]

Text that is of this form already is checked and passed on as it came.
"""

from collections.abc import Iterable
from typing import Any

from agents.telemetry import text
from agents.telemetry.conventions import CHOICE_EVENT, MESSAGE_EVENTS

Message = dict[str, Any]

SEGMENTS_LIMIT = 12
"""Segments of a flattened key that are read as structure: OpenInference's deepest have nine."""

WRAPPERS = frozenset({"message", "message_content", "tool_call", "image", "prompt", "completion", "document"})
"""Segments of OpenInference's flattened keys that only repeat what the segment before them said."""

MERGED = frozenset({"message", "message_content", "tool_call"})
"""Those whose members are the node's own where it has further ones: a part's type beside the call that it is."""


def read(value: Any, role: str) -> tuple[bytes, list[Message]]:
    """Return the messages that a value says, as JSON and parsed.

    Args:
        value: JSON in text, plain text, or a structure; messages of any known form, or anything else.
        role: of messages that don't say theirs.
    """
    if type(value) is str:
        value, raw = _parsed(value)
        if raw is not None and _is_genai(value):
            return raw, value
    messages = value if _is_genai(value) else normalise(value, role)
    return render(messages, role), messages


def normalise(value: Any, role: str) -> list[Message]:
    """Return the messages that a parsed value says."""
    if type(value) is list:
        return _from_list(value, role)
    if type(value) is dict:
        if type(inner := value.get("messages")) is list:
            return _from_list(inner, role)
        if type(inner := value.get("choices")) is list:
            return [choice_message(choice, role) for choice in inner if type(choice) is dict]
        if "role" in value or "parts" in value:
            return [message(value, role)]
    return [_plain(value, role)]


def _from_list(values: list[Any], role: str) -> list[Message]:
    if values and all(type(value) is list for value in values):  # LangChain: one list a prompt
        return [found for value in values for found in _from_list(value, role)]
    if values and all(type(value) is dict and "type" in value and "role" not in value for value in values):
        return [message({"content": values}, role)]
    return [
        message(value, role) if type(value) is dict and ("role" in value or "content" in value) else _plain(value, role)
        for value in values
    ]


def message(said: Message, role: str) -> Message:
    """Return one message in the GenAI form, from that form, OpenAI's, Anthropic's or OpenInference's."""
    named = said.get("role")
    role = named if type(named) is str and named else role
    call_id = said.get("tool_call_id")
    if type(parts := said.get("parts")) is list:
        made: Message = {"role": role, "parts": [_part(part) for part in parts]}
    elif (role == "tool" or type(call_id) is str) and not _has_results(said.get("content")):
        made = {"role": role, "parts": [{"type": "tool_call_response", "id": call_id, "response": _content(said)}]}
    else:
        made = {"role": role, "parts": _content_parts(_content(said))}
    _add_calls(made["parts"], _tool_calls(said))
    for extra in ("name", "finish_reason"):
        if said.get(extra) is not None:
            made[extra] = said[extra]
    return made


def answer(said: Message) -> Message:
    """Return a model's message of its ``reasoning``, ``text`` and ``tool_calls``, as far as they are told."""
    made = message({"content": said.get("text"), "tool_calls": said.get("tool_calls")}, "assistant")
    if said.get("reasoning"):
        made["parts"].insert(0, {"type": "reasoning", "content": said["reasoning"]})
    return made


def _has_results(content: Any) -> bool:
    """Say whether a content is a list of results that say themselves of which calls they are."""
    return type(content) is list and any(type(part) is dict and part.get("type") == "tool-result" for part in content)


def _add_calls(parts: list[Message], calls: list[Message]) -> None:
    """Add the calls of tools to a message's parts: one that is among them already, by its id, in its place."""
    places = {
        part["id"]: place
        for place, part in enumerate(parts)
        if part.get("type") == "tool_call" and type(part.get("id")) is str
    }
    for call in calls:
        place = places.get(call["id"]) if type(call["id"]) is str else None
        if place is None:
            parts.append(call)
        else:
            parts[place] = call


def choice_message(choice: Message, role: str = "assistant") -> Message:
    """Return the message of a choice: OpenAI's ``choices``, or the older conventions' ``gen_ai.choice``."""
    inner = choice.get("message")
    if type(inner) is str:
        inner = _parsed(inner)[0]
        inner = inner if type(inner) is dict else {"content": inner}
    made = message(inner if type(inner) is dict else choice, role)
    if choice.get("finish_reason") is not None:
        made["finish_reason"] = choice["finish_reason"]
    return made


def event_message(event: str, said: Message) -> Message:
    """Return the message of a span event of :data:`MESSAGE_EVENTS`."""
    role = MESSAGE_EVENTS[event]
    if event == CHOICE_EVENT:
        return choice_message(said, role)
    if role == "tool" and "id" in said:
        return message({**said, "tool_call_id": said["id"]}, role)
    return message(said, role)


def event_list(value: Any) -> tuple[list[Message], list[Message]] | None:
    """Return the messages in and out of a list of such events in one attribute; None if it isn't one."""
    events = _parsed(value)[0] if type(value) is str else value
    if type(events) is not list or not all(
        type(event) is dict and type(event.get("event.name")) is str and event["event.name"] in MESSAGE_EVENTS
        for event in events
    ):
        return None
    sent = [event_message(event["event.name"], event) for event in events if event["event.name"] != CHOICE_EVENT]
    return sent, [choice_message(event) for event in events if event["event.name"] == CHOICE_EVENT]


def unflatten(pairs: Iterable[tuple[str, Any]], role: str) -> list[Message]:
    """Return the messages of flattened attributes, such as ``0.message.role`` and ``0.message.content``."""
    found = structure(pairs)
    return [
        message(_opened(said) if type(said) is dict else {"content": said}, role)
        for said in (found if type(found) is list else [found])
    ]


def structure(pairs: Iterable[tuple[str, Any]]) -> Any:
    """Return the lists and objects that flattened attributes tell."""
    tree: dict[str, Any] = {}
    for key, value in pairs:
        node = tree
        *path, leaf = key.split(".", SEGMENTS_LIMIT)
        for segment in path:
            child = node.get(segment)
            if type(child) is not dict:
                child = node[segment] = {} if child is None else {"value": child}
            node = child
        if type(node.get(leaf)) is dict:
            node = node[leaf]
            leaf = "value"
        node[leaf] = value
    return _unwrapped(tree)


def _unwrapped(node: Any) -> Any:
    """Turn a tree of segments into lists and objects."""
    if type(node) is not dict:
        return node
    if len(node) == 1 and (wrapper := next(iter(node))) in WRAPPERS:
        return _unwrapped(node[wrapper])
    if not MERGED.isdisjoint(node):
        own = {key: child for key, child in node.items() if key not in MERGED or type(child) is not dict}
        node = {key: child for wrapper in MERGED & node.keys() - own.keys() for key, child in node[wrapper].items()}
        node |= own
    if all(key.isascii() and key.isdigit() and len(key) < 10 for key in node):
        return [_unwrapped(node[key]) for key in sorted(node, key=int)]
    return {key: _unwrapped(child) for key, child in node.items()}


def _opened(said: Message) -> Message:
    """Give OpenInference's names the ones they stand for, and open OpenLLMetry's lists of parts in text."""
    content = said.get("content")
    if "contents" in said:
        contents = said["contents"]
        if "tool_call_id" in said and content is not None and type(contents) is list and said.get("role") != "tool":
            # A user's message of Anthropic's has the results of calls among its contents.
            result = {"type": "tool_result", "tool_use_id": said["tool_call_id"], "content": content}
            said, contents = {**said, "tool_call_id": None}, [result, *contents]
        said = {**said, "content": contents}
    elif "text" in said and content is None:
        said = {**said, "content": said["text"]}
    elif type(content) is str and content.startswith('[{"type"'):
        said = {**said, "content": _parsed(content)[0]}
    if "function_call_name" in said:
        call = {"name": said["function_call_name"], "arguments": said.get("function_call_arguments_json")}
        said = {**said, "tool_calls": [call]}
    return said


def _content(said: Message) -> Any:
    return said["content"] if "content" in said else said.get("value")


def _content_parts(content: Any) -> list[Any]:
    if content is None or content == "":
        return []
    if type(content) is list:
        return [_part(part) for part in content]
    return [_part(content)]


def _part(part: Any) -> Message:
    """Return one part of a message in the GenAI form; parts of unknown types stay as they are."""
    if type(part) is not dict:
        return {"type": "text", "content": part if type(part) is str else _json_text(part)}
    kind = part.get("type")
    if type(kind) is not str:
        return {"type": "text", "content": part["text"]} if type(part.get("text")) is str else {"type": "json", **part}
    if kind in ("text", "input_text", "output_text") and type(part.get("text")) is str:
        return {"type": "text", "content": part["text"]}
    if kind in ("image", "image_url") and (uri := _image_uri(part.get(kind))) is not None:
        return {"type": "uri", "modality": "image", "uri": uri}
    if kind in ("tool_use", "tool-call"):
        return _tool_call(part)
    if kind == "tool-result":  # Vercel's AI SDK
        result = part.get("output", part.get("result"))
        result = result["value"] if type(result) is dict and {"type", "value"} == result.keys() else result
        return {"type": "tool_call_response", "id": part.get("toolCallId"), "response": result}
    if kind == "tool_result":
        return {"type": "tool_call_response", "id": part.get("tool_use_id"), "response": part.get("content")}
    if kind in ("thinking", "reasoning") and "content" not in part:
        return {"type": "reasoning", "content": part.get("thinking") or part.get("text") or ""}
    return part


def _image_uri(image: Any) -> str | None:
    uri = image.get("url") if type(image) is dict else image
    return uri if type(uri) is str else None


def _tool_calls(said: Message) -> list[Message]:
    calls = said.get("tool_calls")
    if type(calls) is str:
        calls = _parsed(calls)[0]
    return [_tool_call(call) for call in calls if type(call) is dict] if type(calls) is list else []


def _tool_call(call: Message) -> Message:
    function = call.get("function")
    said = function if type(function) is dict else call
    arguments = next((said[key] for key in ("arguments", "args", "input") if key in said), None)
    if type(arguments) is str:
        arguments = _parsed(arguments)[0]
    call_id, name = call.get("id", call.get("toolCallId")), said.get("name", said.get("toolName"))
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}


def _plain(value: Any, role: str) -> Message:
    return {"role": role, "parts": [{"type": "text", "content": value if type(value) is str else _json_text(value)}]}


def _is_genai(value: Any) -> bool:
    if type(value) is not list:
        return False
    for said in value:
        if type(said) is not dict or type(said.get("role")) is not str or type(said.get("parts")) is not list:
            return False
    return True


def _json_text(value: Any) -> str:
    return text.dumps(value).decode()


def _parsed(said: str) -> tuple[Any, bytes | None]:
    """Parse a text that may be JSON: its value, and its bytes where they may be kept as they are.

    Only lists and objects are taken for JSON: a text ``42`` or ``null`` is that text.
    """
    if said[:1] not in ("[", "{") and said.lstrip()[:1] not in ("[", "{"):
        return said, None
    try:
        value, mended = text.parse(said)
    except ValueError:
        return said, None
    if mended or text.has_escaped_nul(said):
        return value, None
    raw = said.encode()
    return value, raw if len(raw) <= text.CONTENT_LIMIT else None


def render(messages: list[Message], role: str) -> bytes:
    """Return messages as JSON within the limit: texts are cut first, then the whole is kept as one cut text."""
    rendered = _bounded(messages)
    return rendered if rendered is not None else text.dumps([_plain(_cut_whole(messages), role)])


def content(value: Any, media_type: str = "") -> bytes:
    """Return any value as JSON, within the limit: text that is JSON is passed on, other text becomes a JSON string.

    Args:
        value: as the attribute had it.
        media_type: what the client says that a text is; ``text/plain`` is never taken for JSON.
    """
    if type(value) is str and media_type != "text/plain":
        value, raw = _parsed(value)
        if raw is not None:
            return raw
    rendered = _bounded(value)
    return rendered if rendered is not None else text.dumps(_cut_whole(value))


def with_instructions(instructions: Any, rendered: bytes | None) -> bytes:
    """Return a message list in JSON with the system's instructions as its first message."""
    value, raw = _parsed(instructions) if type(instructions) is str else (instructions, None)
    if raw is None or type(value) is not list or not all(type(part) is dict and "type" in part for part in value):
        raw = text.dumps(_content_parts(value))
    system = b'{"role":"system","parts":' + raw + b"}"
    rest = (rendered or b"[]").lstrip()[1:]
    joined = b"[" + system + (rest if rest.lstrip() == b"]" else b"," + rest)
    return joined if len(joined) <= text.CONTENT_LIMIT else read(joined.decode(), "user")[0]


def _bounded(value: Any) -> bytes | None:
    rendered = text.dumps(value)
    if len(rendered) > text.CONTENT_LIMIT:
        rendered = text.dumps(text.clean_value(value))
    return rendered if len(rendered) <= text.CONTENT_LIMIT else None


def _cut_whole(value: Any) -> str:
    """Return the JSON of a value as text, so short that it fits the limit when escaped once more."""
    rendered = text.dumps(text.clean_value(value))
    kept = rendered[: text.CONTENT_LIMIT // 2 - 200].decode("utf-8", "ignore")
    return f"{kept}… [cut: {len(rendered.decode()) - len(kept)} characters]"
