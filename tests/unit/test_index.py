"""The rule of the sources, for any sources and answers: first source, bindings, no answer."""

from hypothesis import given
from hypothesis import strategies as st

from fleetwheel.sources.index import WEIGHED, NameOffer, SourceAnswer, offered, serving
from fleetwheel.sources.wheel import Source, Wheel

NAMES = ("acme-utils", "acme", "numpy", "torch", "triton")


def source(place: int, *packages: str, optional: bool = False) -> Source:
    url = f"https://source{place}.example/simple"
    return Source(name=f"source {place}", url=url, packages=packages, optional=optional)


def holding(where: Source, name: str = "acme-utils", version: str = "1.0") -> SourceAnswer:
    file = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    wheel = Wheel(filename=file, url=f"{where.url}/{file}", source=where)
    return SourceAnswer(source=where, wheels=(wheel,), holds=True)


def absent(where: Source) -> SourceAnswer:
    return SourceAnswer(source=where)


def silent(where: Source) -> SourceAnswer:
    return SourceAnswer(source=where, failure="HTTP status 401")


KINDS = st.sampled_from([holding, absent, silent])
ANSWERS = st.lists(st.tuples(KINDS, st.booleans()), max_size=6).map(
    lambda kinds: [kind(source(n, optional=opt)) for n, (kind, opt) in enumerate(kinds)]
)
SOURCES = st.lists(st.sampled_from([(), ("acme-*",), ("acme",), ("*",)]), max_size=6).map(
    lambda found: [source(place, *packages) for place, packages in enumerate(found)]
)


@given(ANSWERS)
def test_a_name_comes_from_the_first_source_that_holds_it(answers: list[SourceAnswer]) -> None:
    offer = offered("acme-utils", answers)
    first = next((answer for answer in answers if answer.wheels), None)
    assert offer.wheels == (first.wheels if first else ())
    assert offer.holder == (first.source if first else None)


@given(ANSWERS)
def test_it_is_refused_only_behind_a_source_that_gave_no_answer(
    answers: list[SourceAnswer],
) -> None:
    offer = offered("acme-utils", answers)
    before = answers[: next((n for n, a in enumerate(answers) if a.wheels), len(answers))]
    blocking = [answer for answer in before if answer.failure and not answer.source.optional]
    assert list(offer.unheard) == blocking
    assert (offer.refusal is not None) == bool(offer.wheels and blocking)


@given(ANSWERS)
def test_what_stands_behind_the_holder_changes_nothing(answers: list[SourceAnswer]) -> None:
    place = next((n for n, answer in enumerate(answers) if answer.wheels), None)
    if place is not None:
        assert offered("acme-utils", answers) == offered("acme-utils", answers[: place + 1])


@given(ANSWERS, st.sampled_from(sorted(WEIGHED)))
def test_the_torch_family_has_no_first_source(answers: list[SourceAnswer], name: str) -> None:
    offer = offered(name, answers)
    files = {wheel.filename for answer in answers for wheel in answer.wheels}
    assert {wheel.filename for wheel in offer.wheels} == files
    assert len(offer.wheels) == len(files)
    assert offer.refusal is None


@given(SOURCES, st.sampled_from(NAMES))
def test_a_bound_name_comes_from_there_or_not_at_all(sources: list[Source], name: str) -> None:
    found = serving(name, sources)
    bound = [each for each in sources if each.packages and each.serves(name)]
    assert list(found) == (bound or [each for each in sources if not each.packages])
    assert all(each.serves(name) for each in found)


def test_a_pattern_stands_for_the_names_that_it_fits_alone() -> None:
    private, public = source(1, "acme-*"), source(2)
    assert serving("acme-utils", [public, private]) == (private,)
    assert serving("acme", [private, public]) == (public,)
    assert serving("numpy", [private, public]) == (public,)
    assert offered("acme-utils", [absent(private)]) == NameOffer(name="acme-utils")


def test_a_source_with_source_distributions_alone_holds_the_name() -> None:
    """Else a wheel of this name elsewhere would take their place."""
    sdists = SourceAnswer(source=source(1), holds=True)
    offer = offered("acme-utils", [sdists, holding(source(2), version="99.0")])
    assert (offer.wheels, offer.holder, offer.behind) == ((), source(1), source(2))
    assert offered("acme-utils", [sdists, silent(source(2))]).behind is None
    assert offered("acme-utils", [holding(source(1)), holding(source(2))]).behind is None


def test_the_refusal_names_the_name_and_both_sources() -> None:
    secret = Source(name="inventory", url="https://me:secret@private.example/simple")
    said = offered("acme-utils", [silent(secret), holding(source(2))]).refusal
    assert said == (
        "acme-utils would come from https://source2.example/simple, but"
        " https://private.example/simple (inventory) stands before it and gave no answer:"
        " HTTP status 401"
    )
