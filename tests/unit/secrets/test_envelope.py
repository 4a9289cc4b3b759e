from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from kustodian.errors import SecretsError
from kustodian.secrets import envelope
from kustodian.secrets.envelope import Header, Recipient, Rule

from tests.conftest import Identity

Encrypt = Callable[..., Path]
TOKEN = "ENC[AES256_GCM,data:Vw==,iv:99FM/+==,tag:1IjY==,type:str]"


def composed(text: str | bytes, name: str = "f.yaml") -> yaml.Node:
    (document,) = envelope.compose(text.encode() if isinstance(text, str) else text, name)
    return document


# Rules: what the real sops encrypts under each is what `covers` says

DOCUMENTS = """\
apiVersion: v1
kind: Secret
metadata:
  name: s
  labels: {data: x, key_unencrypted: y}
data:
  a: YQ==
  key_secret: Yg==
  nested: {data: 1, deep_unencrypted: {x: 2, y_secret: 3}}
stringData: {password: p, Password: q, API_KEY: r}
list:
- plain
- {password: 1.5, other: true}
- [[deep, {data: deeper}]]
empty: ''
nothing: null
when: 2001-02-03
multi: |
  line
  line
_unencrypted: z
'quoted "key"': v
größe: ü
42x: n
---
kind: List
items:
- {kind: Secret, data: {k: v}}
- {kind: ConfigMap, data: {k: v}, other: {data_unencrypted: {secret: s}}}
"""

RULES = [
    {},
    {"unencrypted_suffix": "_unencrypted"},
    {"unencrypted_suffix": "a"},
    {"encrypted_suffix": "_secret"},
    {"encrypted_suffix": "a"},
    {"encrypted_regex": "^(data|stringData)$"},
    {"encrypted_regex": "data"},
    {"encrypted_regex": "((?i)(pass|secret($|[^N])|key|^data$))"},
    {"encrypted_regex": "^[[:lower:]]+$"},
    {"encrypted_regex": r"^\w+$"},
    {"encrypted_regex": "^$"},
    {"unencrypted_regex": "^(apiVersion|kind|metadata)$"},
    {"unencrypted_regex": "(?i)^data$"},
    {"unencrypted_regex": "größe|items"},
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "&".join(f"{key}={value}" for key, value in rule.items()))
def test_a_rule_covers_what_sops_encrypts(rule: dict[str, str], encrypt: Encrypt) -> None:
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in rule.items()]
    text = encrypt("f.yaml", DOCUMENTS, *arguments).read_bytes()
    documents = envelope.compose(text, "f.yaml")
    assert len(documents) == 2
    for document in documents:
        found = envelope.header(document, "f.yaml").rule
        # Without any, sops falls back to its suffix.
        used = rule or {"unencrypted_suffix": "_unencrypted"}
        assert {field: value for field, value in vars(found).items() if value} == used
        leaves = [(path, node) for path, node in envelope.leaves(document) if node.value not in ("", "null")]
        assert leaves
        encrypted = {path: bool(envelope.TOKEN.fullmatch(node.value)) for path, node in leaves}
        assert {path: found.covers(path) for path in encrypted} == encrypted
        assert list(envelope.plain_values(document, found)) == []


@pytest.mark.parametrize(
    ("rule", "path", "covered"),
    [
        # The header may hold several; sops looks at them in this order, the later ones deciding anew.
        (Rule(unencrypted_suffix="_u", encrypted_suffix="_e"), ("a",), False),
        (Rule(unencrypted_suffix="_u", encrypted_suffix="_e"), ("a_u", "b_e"), True),
        (Rule(unencrypted_suffix="_u", unencrypted_regex="^x"), ("a",), True),
        (Rule(unencrypted_suffix="_u", unencrypted_regex="^x"), ("a_u",), False),
        (Rule(unencrypted_suffix="_u", unencrypted_regex="^x"), ("a", "x"), False),
        (Rule(encrypted_suffix="_e", unencrypted_regex="^x"), ("x_e",), False),
        (Rule(encrypted_suffix="_e", unencrypted_regex="^x"), ("y_e",), True),
        (Rule(unencrypted_regex="^x", encrypted_regex="^y"), ("x", "y"), True),
        (Rule(unencrypted_regex="^x", encrypted_regex="^y"), ("z",), False),
        (Rule(), (), True),
        (Rule(encrypted_regex="x"), (), False),
    ],
)
def test_several_rules_decide_in_the_order_of_sops(rule: Rule, path: tuple[str, ...], covered: bool) -> None:
    assert rule.covers(path) is covered


# Headers


def test_a_header_of_the_real_sops_is_read(encrypt: Encrypt, identity: Identity) -> None:
    document = composed(encrypt("f.yaml", "a: 1\n", "--encrypted-regex=^a$").read_bytes())
    head = envelope.header(document, "f.yaml")
    assert head.rule == Rule(encrypted_regex="^a$")
    assert head.recipients == (Recipient("age", identity.recipient),)
    assert envelope.TOKEN.fullmatch(head.mac)
    assert head.last_modified[:2] == "20"
    assert head.version == "3.13.3"


@pytest.mark.parametrize(
    ("name", "text"), [("f.json", '{"a": {"b": [1, "\\u003c\\/"]}}'), ("f.bin", b"\x00\xff"), ("f.txt", "text\n")]
)
def test_json_and_binary_files_have_a_header_too(encrypt: Encrypt, name: str, text: str | bytes) -> None:
    document = composed(encrypt(name, text).read_bytes(), name)
    assert len(envelope.header(document, name).recipients) == 1
    assert all(envelope.TOKEN.fullmatch(node.value) for _path, node in envelope.leaves(document))


HEADER = """\
a: x
sops:
  kms:
  - {arn: 'arn:aws:kms:eu-central-1:1:key/2', enc: AQ, created_at: '2024'}
  gcp_kms:
  - resource_id: projects/p/locations/global/keyRings/k/cryptoKeys/c
  azure_kv:
  - {vault_url: https://v.vault.azure.net, name: key, version: '1'}
  hc_vault:
  - {vault_address: https://v, engine_path: sops, key_name: first}
  age:
  - {recipient: age1one, enc: x}
  - {recipient: age1two, enc: y}
  pgp:
  - {fp: FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4, enc: z}
  lastmodified: '2024-01-01T00:00:00Z'
  mac: ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]
  unencrypted_suffix: _unencrypted
  version: 3.9.0
"""


def test_every_kind_of_recipient_is_named() -> None:
    assert envelope.header(composed(HEADER), "f.yaml") == Header(
        Rule(unencrypted_suffix="_unencrypted"),
        (
            Recipient("kms", "arn:aws:kms:eu-central-1:1:key/2"),
            Recipient("gcp_kms", "projects/p/locations/global/keyRings/k/cryptoKeys/c"),
            Recipient("azure_kv", "key"),
            Recipient("hc_vault", "first"),
            Recipient("age", "age1one"),
            Recipient("age", "age1two"),
            Recipient("pgp", "FBC7B9E2A4F9289AC0C1D4843D16CEE4A27381B4"),
        ),
        "ENC[AES256_GCM,data:AA==,iv:AA==,tag:AA==,type:str]",
        "2024-01-01T00:00:00Z",
        "3.9.0",
    )


def test_recipients_in_groups_are_named() -> None:
    text = """\
sops:
  shamir_threshold: 2
  key_groups:
  - hc: []
    age: [{recipient: age1one}]
    pgp: [{fp: AAAA}]
  - kms: [{arn: 'arn:2'}]
  - {}
  mac: x
"""
    assert envelope.header(composed(text), "f").recipients == (
        Recipient("age", "age1one"),
        Recipient("pgp", "AAAA"),
        Recipient("kms", "arn:2"),
    )


@pytest.mark.parametrize(
    "fields",
    ["age: null", "age: []", "age: text", "age: [{}]", "age: [text]", "age: [{recipient: [x]}]", "key_groups: x"],
)
def test_a_damaged_header_has_nobody(fields: str) -> None:
    assert envelope.header(composed(f"sops: {{{fields}, mac: x}}"), "f").recipients == ()


@pytest.mark.parametrize(
    "text", ["a: 1\n", "sops: null\n", "sops: text\n", "sops: {}\n", "sops: [a]\n", "- sops\n", "text\n"]
)
def test_without_a_header_a_document_is_not_encrypted(text: str) -> None:
    with pytest.raises(SecretsError) as raised:
        envelope.header(composed(text), "dir/f.yaml")
    assert raised.value.message == "dir/f.yaml: not encrypted: it has no `sops` entry"
    assert raised.value.hint == "encrypt it: invoke encrypt dir/f.yaml"


@pytest.mark.parametrize("field", ["encrypted_regex", "unencrypted_regex"])
def test_a_rule_that_cannot_be_read_is_named(field: str) -> None:
    with pytest.raises(SecretsError) as raised:
        envelope.header(composed(f"sops: {{mac: x, {field}: 'a(b'}}"), "f.yaml")
    assert raised.value.message.startswith(f"f.yaml: its rule `{field}` is no regular expression known here: ")


# Documents


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.yaml", "yaml"),
        ("a.sops.yml", "yaml"),
        ("dir.env/a.json", "json"),
        ("a.env", "dotenv"),
        (".env", "binary"),
        ("a.ini", "ini"),
        ("a.txt", "binary"),
        ("a", "binary"),
        ("yaml", "binary"),
        ("a.YAML", "binary"),
        (Path("x/a.yaml"), "yaml"),
    ],
)
def test_the_format_is_the_one_that_sops_takes_by_the_name(name: str, form: str) -> None:
    assert envelope.format_of(name) == form


def test_empty_documents_are_left_out() -> None:
    assert len(envelope.compose(b"---\n---\na: 1\n---\n# c\n---\nnull\n---\nb: 1\n", "f")) == 2
    assert envelope.compose(b"", "f") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"password: 'hunter2\n", "f.yaml: not YAML: line 2, column 1: found unexpected end of stream"),
        (b"password: *hunter2\n", "f.yaml: not YAML: line 1, column 11: found undefined alias"),
        (b"a: hunter2: b\n", "f.yaml: not YAML: line 1, column 11: mapping values are not allowed in this context"),
        (b"{{ .Values.hunter2 }}: [\n", "f.yaml: not YAML: "),
        (b"a: \xffhunter2\n", "f.yaml: not YAML: ReaderError"),
    ],
)
def test_text_that_does_not_parse_is_not_quoted(text: bytes, message: str) -> None:
    with pytest.raises(SecretsError) as raised:
        envelope.compose(text, "f.yaml")
    assert raised.value.message.startswith(message)
    assert "hunter2" not in str(raised.value)


def test_a_tag_is_no_reason_to_refuse_a_document() -> None:
    # Nothing is constructed: `!reference [...]` and the like are somebody else's.
    assert len(envelope.compose(b"a: !reference [b]\nc: !!binary x\nd: !!bool maybe\n", "f")) == 1


def test_leaves_have_the_path_that_sops_gives_them() -> None:
    document = composed("a: {b: 1, c: [2, {d: 3}, [4]]}\nsops: {x: 5}\ne: {sops: {f: 6}}\n7: g\n")
    assert [(path, node.value) for path, node in envelope.leaves(document)] == [
        (("a", "b"), "1"),
        (("a", "c"), "2"),
        (("a", "c", "d"), "3"),
        (("a", "c"), "4"),
        (("e", "sops", "f"), "6"),
        (("7",), "g"),
    ]
    assert [path for path, _node in envelope.leaves(composed("- a\n- b: c\n"))] == [(), ("b",)]


def test_anchors_are_read_where_they_are_used() -> None:
    document = composed("a: &x {b: 1}\nc: *x\n")
    assert [path for path, _node in envelope.leaves(document)] == [("a", "b"), ("c", "b")]


def test_entries_children_and_scalars() -> None:
    document = composed("a: {b: text, c: 1}\n[x]: y\nd: [e]\n")
    assert [key for key, _value in envelope.entries(document)] == ["a", "d"]
    assert envelope.child(document, "gone") is None
    assert envelope.scalar(document, "a", "b") == "text"
    assert envelope.scalar(document, "a", "c") == "1"
    assert envelope.scalar(document, "a") == ""
    assert envelope.scalar(document, "a", "b", "c") == ""
    assert envelope.scalar(document, "d") == ""
    assert envelope.entries(composed("- a\n")) == []


# Values that somebody put in by hand


def test_plain_values_are_those_that_the_rule_covers_and_that_are_not_encrypted() -> None:
    document = composed(
        f"""\
kind: Secret
data:
  one: {TOKEN}
  two: hunter2
  three: ''
  four: null
  five: ~
  six: [x, "{TOKEN}", ""]
  seven: {TOKEN} and more
  eight: "null"
sops: {{mac: x}}
"""
    )
    found = envelope.plain_values(document, Rule(encrypted_regex="^data$"))
    assert [(path, node.start_mark.line + 1) for path, node in found] == [
        (("data", "two"), 4),
        (("data", "six"), 8),
        (("data", "seven"), 9),
        (("data", "eight"), 10),
    ]


def test_where_comments_choose_nothing_can_be_said() -> None:
    for field in ("encrypted_comment_regex", "unencrypted_comment_regex"):
        document = composed(f"a: hunter2\nsops: {{mac: x, {field}: x}}\n")
        rule = envelope.header(document, "f").rule
        assert rule.by_comment
        assert list(envelope.plain_values(document, rule)) == []


@pytest.mark.parametrize("kind", ["str", "int", "float", "bytes", "bool", "comment", "time"])
def test_a_token_tells_the_type(kind: str) -> None:
    match = envelope.TOKEN.fullmatch(f"ENC[AES256_GCM,data:a/+=,iv:b=,tag:c=,type:{kind}]")
    assert match is not None
    assert match[1] == kind
    assert envelope.TOKEN.fullmatch("ENC[AES256_GCM,data:,iv:,tag:,type:str]")


@given(st.text())
def test_no_text_is_taken_for_a_token_by_accident(text: str) -> None:
    assert not envelope.TOKEN.fullmatch(text)
    assert not envelope.TOKEN.fullmatch(f"{TOKEN}{text}") or not text


def refusal(text: str) -> str:
    try:
        envelope.compose(text.encode(), "f.yaml")
    except SecretsError as error:
        return str(error)
    return ""


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=40))
def test_no_error_about_yaml_quotes_it(text: str) -> None:
    marked = f"hunter2{text}hunter2"
    for shape in (f"a: {marked}", f"{marked}: [", f"a: '{marked}", f"a: *{marked}", f"a: !{marked} b", marked):
        assert "hunter2" not in refusal(shape)


# Hostile YAML


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000 + "x", "a: [" + "[" * 100])
def test_a_text_nested_too_deeply_is_refused(text: str) -> None:
    with pytest.raises(SecretsError) as raised:
        envelope.compose(text.encode(), "f.yaml")
    assert raised.value.message == "f.yaml: too deeply nested"


def test_a_text_nested_deeply_is_read() -> None:
    assert len(list(envelope.leaves(composed("[" * 100 + "x" + "]" * 100)))) == 1


def test_a_value_that_contains_itself_is_refused() -> None:
    with pytest.raises(SecretsError) as raised:
        envelope.compose(b"data: &a {x: *a}\n", "f.yaml")
    assert raised.value.message == "f.yaml:1: `data.x` contains itself"


def test_an_alias_bomb_ends() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(SecretsError) as raised:
        envelope.compose("\n".join(lines).encode(), "f.yaml")
    assert raised.value.message == "f.yaml: its aliases make it too large"
