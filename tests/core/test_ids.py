"""Record ids: reversible, without collisions, legal everywhere, and in ranges that hold exactly what they should."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datastore import InvalidNameError
from datastore.ids import (
    _MANY,
    AREAS,
    MAX_NAME_BYTES,
    IdLines,
    after_namespace,
    area_of,
    area_prefix,
    check_agent,
    decode_id,
    decode_key,
    decode_keys,
    encode_id,
    encode_key,
    encode_name,
    home_of,
    is_any_id,
    is_id,
    is_system,
    key_range,
    names_of_all,
    namespace_prefix,
    namespace_range,
    system_prefix,
    system_range,
    without_system,
)
from datastore.revisions import new_revision

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
awkward = st.text(alphabet="ab:%/_\x00\x1f\x7f\x85;é", min_size=1, max_size=8)
names = text | awkward


def make_id(user: str, namespace: str, key: str) -> str:
    return namespace_prefix(encode_name(user, "user_id"), encode_name(namespace, "namespace")) + encode_key(key)


@pytest.mark.parametrize(
    ("user", "namespace", "key", "id"),
    [
        ("alice", "default", "plan", "alice:default:R5lWQV"),
        ("alice", "files:owner/repo", "a", "alice:files%3Aowner%2Frepo:NF"),
        ("_a_", "100%", "??>", "%5Fa_:100%25:Enwy"),
        ("ünï", "\x00\n", "\x00", "ünï:%00%0A:--"),
        ("a\x85", "b", "ÿÿÿ", "a%C2%85:b:kvz2jwDz"),
    ],
)
def test_an_id_reads_as_the_design_says(user, namespace, key, id):
    assert make_id(user, namespace, key) == id
    assert encode_id(user, namespace, key) == id


def test_the_characters_of_a_key_stand_for_0_to_63_in_ascii_order():
    # In groups of six bits: 0, 1, 2, ..., 63. Not all of it is UTF-8, so it is cut where keys can show it.
    characters = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    assert sorted(characters) == list(characters)
    for number in range(64):
        bits = f"{number:06b}"
        first = chr(int(f"0{bits}0"[:8], 2))  # a key of one byte, whose first six bits are half of the number
        assert encode_key(first)[0] == characters[number >> 1]


def test_ids_sort_as_all_keys_of_one_and_two_bytes_do():
    ascii = [chr(code) for code in range(0x80)]
    keys = [*ascii, *(one + other for one in ascii for other in ascii), *map(chr, range(0x80, 0x800))]
    assert sorted(keys, key=encode_key) == sorted(keys)


any_key = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\x7f\x80\ud7ff\ue000\uffff🔑"), min_size=1
)


@given(st.lists(any_key.filter(lambda key: len(key.encode()) <= 512), min_size=2, max_size=20, unique=True), any_key)
def test_ids_sort_as_keys_do_also_where_one_begins_with_another(keys, more):
    keys += [(key + more)[:100] for key in keys if len(key) < 100]
    assert sorted(keys, key=encode_key) == sorted(keys)
    assert sorted(keys, key=lambda key: encode_key(key).encode()) == sorted(keys, key=str.encode)


@given(names, st.lists(names, max_size=8), st.none() | names, st.none() | names, st.none() | names)
def test_a_key_range_holds_exactly_the_keys_that_are_asked_for(namespace, keys, prefix, first, last):
    scope = namespace_prefix("u", encode_name(namespace, "namespace"))
    range = key_range(scope, prefix, first, last)
    for key in [*keys, *(f"{prefix}{key}" for key in keys), *filter(None, (prefix, first, last))]:
        asked = key.startswith(prefix or "") and (first is None or key >= first) and (last is None or key < last)
        assert (range.start <= scope + encode_key(key) < range.end) == asked, key
    assert range.start <= range.end


@given(names, names, names)
def test_decoding_gives_back_exactly_what_went_in(user, namespace, key):
    assert decode_id(make_id(user, namespace, key)) == (user, namespace, key)


@given(st.tuples(names, names, names), st.tuples(names, names, names))
def test_no_two_triples_share_an_id(one, other):
    assert (make_id(*one) == make_id(*other)) == (one == other)


@given(names, names, names)
def test_an_id_has_exactly_two_colons_and_nothing_that_a_database_refuses(user, namespace, key):
    id = make_id(user, namespace, key)
    assert id.count(":") == 2
    assert "/" not in id
    assert not id.startswith("_")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", id)


def test_the_longest_id_fits_every_database():
    longest = make_id("u" * 255, "n" * 255, "k" * 512)
    assert len(longest.encode()) == 1_195


@given(names, names, st.lists(names, min_size=1, max_size=8), names)
def test_a_key_range_holds_every_key_with_the_prefix(user, namespace, keys, prefix):
    scope = namespace_prefix(encode_name(user, "user_id"), encode_name(namespace, "namespace"))
    start, end = key_range(scope, prefix)
    for key in [*keys, *(prefix + key for key in keys)]:
        if key.startswith(prefix):
            assert start <= scope + encode_key(key) < end


@given(names, names, names)
def test_a_key_range_without_prefix_holds_its_namespace_and_nothing_else(user, namespace, other):
    scope = namespace_prefix(encode_name(user, "user_id"), encode_name(namespace, "namespace"))
    start, end = key_range(scope, None)
    id = make_id(user, other, "k")
    assert (start <= id < end) == (other == namespace)


@given(names, names, names)
def test_a_namespace_range_holds_exactly_the_namespaces_with_the_prefix(user, namespace, prefix):
    start, end = namespace_range(encode_name(user, "user_id"), prefix)
    assert (start <= make_id(user, namespace, "k") < end) == namespace.startswith(prefix)


@given(names, names, names, names)
def test_the_id_after_a_namespace_is_behind_all_of_it_and_before_all_others(user, namespace, key, other):
    behind = after_namespace(make_id(user, namespace, key))
    assert make_id(user, namespace, "\U0010ffff" * 128) < behind
    if namespace != other and make_id(user, other, key) > make_id(user, namespace, key):
        assert make_id(user, other, "\x00") > behind


@pytest.mark.parametrize("prefix", ["\ud7ff", "a\U0010ffff"])
def test_a_prefix_may_end_with_the_last_character_there_is(prefix):
    start, end = namespace_range("u", prefix)
    assert start <= make_id("u", prefix + "x", "k") < end
    assert not start <= make_id("u", "b", "k") < end


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: encode_name("", "user_id"), "user_id is empty"),
        (lambda: encode_name("n" * 256, "namespace"), "namespace takes 256 bytes"),
        (lambda: encode_name(":" * 86, "namespace"), "namespace takes 258 bytes encoded"),
        (lambda: encode_name("é" * 128, "user_id"), "user_id takes 256 bytes"),
        (lambda: encode_name("a\ud800", "user_id"), "user_id holds a lone surrogate, \\ud800 at index 1"),
        (lambda: encode_key(""), "key takes 0 bytes"),
        (lambda: encode_key("é" * 257), "key takes 514 bytes"),
        (lambda: encode_key("\udfff"), "key holds a lone surrogate, \\udfff at index 0"),
        (lambda: check_agent(""), "agent takes 0 bytes"),
        (lambda: check_agent("x" * 256), "agent takes 256 bytes"),
        (lambda: key_range("u:n:", "x" * 513), "prefix takes 513 bytes"),
        (lambda: key_range("u:n:", None, "x" * 513), "start takes 513 bytes"),
        (lambda: key_range("u:n:", None, None, "x" * 513), "end takes 513 bytes"),
        (lambda: namespace_range("u", "x" * 256), "prefix takes 256 bytes"),
    ],
)
def test_a_wrong_name_is_refused_and_the_message_names_the_parameter(call, words):
    with pytest.raises(InvalidNameError, match=re.escape(words)) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, TypeError)


@pytest.mark.parametrize("wrong", [None, 1, 1.5, b"bytes", ["a"], {"a": 1}, object()])
@pytest.mark.parametrize(
    "call",
    [
        encode_key,
        check_agent,
        lambda name: encode_name(name, "user_id"),
        lambda name: key_range("u:n:", 0 if name is None else name),
        lambda name: namespace_range("u", 0 if name is None else name),
    ],
)
def test_a_name_that_is_no_text_is_a_type_error_as_well(call, wrong):
    with pytest.raises(InvalidNameError, match="must be a str") as caught:
        call(wrong)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("wrong", ["", "a", "é", "_w==", "NF=", "NF==", "NF\n", "NG", "+F", "N/", "-" * 684])
def test_what_is_no_encoded_key_is_a_value_error(wrong):
    with pytest.raises(ValueError):
        decode_key(wrong)


@given(st.text(alphabet="".join(map(chr, range(128))), max_size=12))
def test_a_text_decodes_only_if_a_key_is_encoded_like_this(encoded):
    try:
        key = decode_key(encoded)
    except ValueError:
        return
    assert encode_key(key) == encoded


@given(names, names, names)
def test_only_the_id_itself_is_one(user, namespace, key):
    id = make_id(user, namespace, key)
    prefix, _, encoded = id.rpartition(":")
    assert is_id(id)
    for other in (prefix, encoded, f"{prefix}:", f"{prefix}:x:{encoded}", f":{encoded}", f"{id}=", f"%{id}", f"{id} "):
        assert not is_id(other)


def test_every_revision_is_96_random_bits():
    revisions = [new_revision() for _ in range(1_000)]  # they are made some hundred at a time
    assert all(re.fullmatch("[0-9a-f]{24}", revision) for revision in revisions)
    assert len(set(revisions)) == len(revisions)


TOGETHER = _MANY
"""So many times as many keys are certainly decoded together."""


def lines(ids):
    return IdLines([id.encode() for id in ids])


@given(
    st.lists(text, max_size=20)
    | st.lists(st.text("ab\0é", min_size=1, max_size=4), max_size=20)
    | st.integers(1, 9).flatmap(lambda size: st.lists(st.text("ab\0\x7f", min_size=size, max_size=size), max_size=20)),
    st.sampled_from(["", "u:ns:", "é:語:"]),
)
def test_keys_are_decoded_together_as_one_by_one(keys, beginning):
    for some in (keys, keys * TOGETHER):
        ids = [beginning + encode_key(key) for key in some]
        assert decode_keys(ids, len(beginning)) == decode_keys(lines(ids), len(beginning)) == some


@given(st.lists(text, max_size=20))
def test_ids_that_came_as_one_text_are_a_list(ids):
    ids = [encode_key(id) for id in ids]
    some = lines(ids)
    assert (len(some), list(some), some[1:], repr(some)) == (len(ids), ids, ids[1:], f"IdLines({ids!r})")
    assert not ids or (some[0], some[-1]) == (ids[0], ids[-1])


@given(
    st.integers(1, 8).flatmap(
        lambda size: st.lists(st.text("-09AZ_az\n/", min_size=size, max_size=size), min_size=4, max_size=10)
    )
    | st.lists(st.text("-0N_\n", max_size=4), min_size=8, max_size=10)
)
def test_together_the_same_are_refused_as_one_by_one(encoded):
    for some in (encoded, encoded * TOGETHER):
        try:
            expected = [decode_key(one) for one in some]
        except ValueError:
            with pytest.raises(ValueError):
                decode_keys(some)
        else:
            assert decode_keys(some) == expected


@pytest.mark.parametrize("wrong", ["", "a", "NV=", "NW", "NV\n", "N\nV", "N:V", "NV NV", "é", "+/++", "-" * 684])
def test_one_that_is_no_key_among_others_is_found(wrong):
    alike = (encode_key("k") * len(wrong))[: len(wrong)]
    for encoded in (
        [wrong],
        *(["NV", wrong], [wrong, "NV"], ["NV", "NVVm"] * TOGETHER + [wrong], [alike] * 4 + [wrong]),
        *([alike] * TOGETHER + [wrong], [wrong] + [alike] * TOGETHER, [wrong] * TOGETHER),
    ):
        with pytest.raises(ValueError):
            decode_keys(encoded)


@given(st.lists(st.tuples(st.sampled_from(["a", "b%", "_c"]), st.sampled_from(["x", "y:z"]), text), max_size=12))
def test_names_are_decoded_together_as_one_by_one(some):
    """Whether the ids are of one namespace or of several."""
    for all_of_them in (some, some * TOGETHER):
        assert list(names_of_all([make_id(*names) for names in all_of_them])) == all_of_them


@pytest.mark.parametrize("wrong", ["", "a", "a:b", "a:b:?", "a%:b:NV", ":b:NV", "a:b:c:NV", "a%.:b:NV"])
@pytest.mark.parametrize(
    "others", [[], ["a:b:NV"] * TOGETHER, ["a:b:NV", "c:d:NV"] * TOGETHER], ids=["alone", "alike", "of two"]
)
def test_one_that_is_no_id_among_others_is_found(wrong, others):
    for ids in ([*others, wrong], [wrong, *others]):
        with pytest.raises(ValueError):
            names_of_all(ids)


def test_the_ids_of_system_records_are_left_out():
    system = system_prefix("a", "leases") + "NV"
    others = ["a:b:NV", "a%25.:b:NV", "a:%25.:NV", "x", "a:%.:NV"]
    assert without_system([others[0], system, *others[1:]]) == others
    assert without_system(others) == others


@given(text, st.sampled_from(AREAS), st.sampled_from(["a", "b%", "_c"]), text)
def test_the_areas_of_a_namespace_lie_apart_among_the_system_records(user, area, namespace, key):
    home = make_id(user, namespace, "k").rpartition(":")[0] + ":"
    prefix = area_prefix(home, area)
    id = prefix + encode_key(key)
    assert home_of(id) == home_of(prefix) == home
    assert area_of(id) == area
    assert is_system(id)
    assert is_any_id(id)
    assert not is_id(id)
    low, high = system_range(encode_name(user, "user_id"))
    assert low <= id < high


def test_a_namespace_of_the_longest_name_has_areas():
    namespace = "n" * MAX_NAME_BYTES
    assert is_any_id(area_prefix(f"u:{namespace}:", "blobs") + encode_key("k"))


@pytest.mark.parametrize(
    "other", [system_prefix("a", "leases"), system_prefix("a", "logs"), "a:logs%3Ab:", "a%.:dogs%3Ab:"]
)
def test_nothing_else_is_an_area(other):
    assert home_of(other + "NV") is None
