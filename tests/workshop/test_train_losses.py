"""Losses and targets of training against examples that were worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from converters.datasets.expressions import FER
from converters.networks.heads import Heads, Ranks
from converters.train.answers import as_head, logits, probabilities
from converters.train.losses import (
    Question,
    affect_loss,
    distribution_loss,
    label_loss,
    label_weights,
    loss_for,
    rank_importance,
    rank_loss,
    teacher_loss,
    total_loss,
)
from converters.train.recipe import Distribution, Labels, Plane, Teacher
from converters.train.recipe import Ranks as RankLoss
from converters.train.targets import smoothed, targets, votes, with_votes
from edgeface.bundle import AffectHead, CategoricalHead, CoralHead, ExpectationHead, RegressionHead
from edgeface.errors import UsageError
from edgeface.types import Task

YEARS = tuple(float(year) for year in range(101))
AGE = ExpectationHead(support=YEARS, output="age")
GENDER = CategoricalHead(labels=("female", "male"), output="gender")
EXPRESSION = CategoricalHead(labels=FER, output="expression")
SUPPORT = torch.arange(101.0)


def age_of(*spans: tuple[float, float]) -> Tensor:
    return torch.tensor(spans, dtype=torch.float32)


# Targets


def test_ages_are_years_or_the_first_and_last_of_a_bin() -> None:
    rows = [{"age": age} for age in ("34", "3-9", "70+", "")]
    found = targets("age", AGE, Distribution(), rows, "set val")
    np.testing.assert_array_equal(found, [[34, 34], [3, 9], [70, 120], [np.nan, np.nan]])


def test_gender_is_smoothed_and_may_be_missing() -> None:
    rows = [{"gender": "M"}, {"gender": "F"}, {"gender": ""}]
    found = targets("gender", GENDER, Labels(smoothing=0.04), rows, "set val")
    np.testing.assert_allclose(found, [[0.02, 0.98], [0.98, 0.02], [np.nan, np.nan]], rtol=1e-6)


def test_an_expression_that_the_network_has_no_label_for_is_no_label() -> None:
    rows = [{"emotion": "happy"}, {"emotion": "contempt"}]
    found = targets("expression", EXPRESSION, Labels(smoothing=0), rows, "set val")
    assert found[0].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert np.isnan(found[1]).all()


@pytest.mark.parametrize(
    ("task", "head", "row", "words"),
    [
        pytest.param("age", AGE, {"age": "121"}, "age is '121', expected years from 0 to 120", id="too old"),
        pytest.param("age", AGE, {"age": "-3"}, "age is '-3'", id="negative"),
        pytest.param("gender", GENDER, {"gender": "X"}, "gender is 'X', expected M or F", id="gender"),
        pytest.param("expression", EXPRESSION, {"emotion": "hangry"}, "emotion is 'hangry'", id="expression"),
        pytest.param(
            "affect", AffectHead(output="affect"), {"valence": "2", "arousal": "0"}, "valence is '2'", id="valence"
        ),
    ],
)
def test_a_label_out_of_range_is_named_with_its_face(task: Task, head: Any, row: dict[str, str], words: str) -> None:
    good = {"age": "1", "gender": "M", "emotion": "sad", "valence": "0", "arousal": "0"}
    with pytest.raises(UsageError, match="fairface train, face 1: ") as caught:
        targets(task, head, loss_for(task, head, None), [good, good | row], "fairface train")
    assert words in str(caught.value)


def test_votes_are_mixed_in_and_brought_to_how_often_labels_are_given() -> None:
    """Two labels, given equally often; taggers say the second three times as often as the first."""
    plain = smoothed(np.array([0, 1]), 2, 0.0)
    counts = np.array([[2, 6], [2, 6]], np.float32)
    as_they_are = with_votes(plain, np.array([0, 1]), counts, Labels(votes=0.5, votes_as_labelled=False))
    np.testing.assert_allclose(as_they_are, [[0.625, 0.375], [0.125, 0.875]])
    # 2 of 8 times .5 / .25, and 6 of 8 times .5 / .75: one half each.
    divided = with_votes(plain, np.array([0, 1]), counts, Labels(votes=0.5))
    np.testing.assert_allclose(divided, [[0.75, 0.25], [0.25, 0.75]])


def test_a_label_that_only_taggers_have_keeps_its_votes() -> None:
    """Contempt: nobody labels it, so there is no habit to divide out; the rest is as without it."""
    plain = smoothed(np.array([0, 1]), 3, 0.0)
    counts = np.array([[2, 6, 0], [1, 3, 4]], np.float32)
    divided = with_votes(plain, np.array([0, 1]), counts, Labels(votes=1.0))
    # Said: .1875, .5625, .25; labelled: half, half, never.
    raw = np.array([[0.25 * 8 / 3, 0.75 * 8 / 9, 0], [0.125 * 8 / 3, 0.375 * 8 / 9, 0.5]])
    np.testing.assert_allclose(divided, raw / raw.sum(axis=1, keepdims=True), rtol=1e-6)


def test_a_face_with_few_votes_has_its_label_alone() -> None:
    rows = [{"neutral": "1", "happiness": "1"}, {"neutral": "2", "happiness": "2"}]
    counts = votes(rows, FER)
    assert counts[:, FER.index("happy")].tolist() == [1, 2]
    plain = smoothed(np.array([3, 3]), 7, 0.0)
    mixed = with_votes(plain, np.array([3, 3]), counts, Labels(votes=1.0, votes_as_labelled=False))
    assert mixed[0].tolist() == plain[0].tolist()
    assert mixed[1][[3, 6]].tolist() == [0.5, 0.5]


# Distribution


def test_an_exact_age_wants_a_bell_curve_and_its_mean() -> None:
    flat = torch.zeros(1, 101)
    loss = Distribution(spread=2.5, shape=1.0, mean=0.0)
    assert distribution_loss(flat, age_of((30, 30)), SUPPORT, loss, None).item() == pytest.approx(
        math.log(101), rel=1e-5
    )
    # The mean of a flat distribution is 50: twenty years off, less a half.
    loss = Distribution(shape=0.0, mean=0.5)
    assert distribution_loss(flat, age_of((30, 30)), SUPPORT, loss, None).item() == pytest.approx(0.5 * 19.5, rel=1e-5)


def test_an_age_beyond_the_last_class_counts_as_the_last() -> None:
    answer = torch.randn(1, 101, generator=torch.Generator().manual_seed(1))
    loss = Distribution()
    beyond, last = (distribution_loss(answer, age_of((age, age)), SUPPORT, loss, None) for age in (116, 100))
    assert beyond.item() == last.item()


def test_of_an_interval_the_mass_inside_counts() -> None:
    flat = torch.zeros(2, 101)
    found = distribution_loss(flat, age_of((20, 29), (70, 120)), SUPPORT, Distribution(), None)
    assert found.tolist() == pytest.approx([math.log(101 / 10), math.log(101 / 31)], rel=1e-5)


def test_inside_an_interval_the_mass_lies_as_the_start_believes() -> None:
    belief = torch.zeros(1, 101)
    belief[0, 22], belief[0, 25], belief[0, 60] = 0.1, 0.3, 0.6
    flat = torch.zeros(1, 101)
    found = distribution_loss(flat, age_of((20, 29)), SUPPORT, Distribution(prior=True, inside=0.5), belief)
    # The mass, and half the cross entropy of (1/4, 3/4) with ten equal shares.
    assert found.item() == pytest.approx(math.log(101 / 10) + 0.5 * math.log(10), rel=1e-5)
    steep = torch.full((1, 101), -20.0)
    steep[0, 22], steep[0, 25] = math.log(0.25), math.log(0.75)
    best = distribution_loss(steep, age_of((20, 29)), SUPPORT, Distribution(prior=True), belief)
    turned = steep.clone()
    turned[0, 22], turned[0, 25] = math.log(0.75), math.log(0.25)
    assert best.item() < distribution_loss(turned, age_of((20, 29)), SUPPORT, Distribution(prior=True), belief).item()


def test_a_bin_without_upper_end_pulls_above_its_lower_end_and_no_other_bin_does() -> None:
    loss = Distribution(tail=9.0, inside=1.0)
    logits = torch.zeros(2, 101, requires_grad=True)
    for _ in range(2000):
        value = distribution_loss(logits, age_of((70, 120), (60, 69)), SUPPORT, loss, None).sum()
        (gradient,) = torch.autograd.grad(value, logits)
        logits = (logits - 5 * gradient).detach().requires_grad_()
    years = logits.softmax(1) @ SUPPORT
    # 70 + k with shares exp(-k / 9) to 100: 77.6 on average.
    wanted = np.exp(-np.arange(31) / 9)
    assert years[0].item() == pytest.approx(70 + (wanted / wanted.sum()) @ np.arange(31), abs=0.3)
    assert years[1].item() == pytest.approx(64.5, abs=0.1), "flat as it began"


# CORAL


def test_ranks_of_an_exact_age_are_all_judged_and_of_an_interval_those_outside() -> None:
    """Ages 1 to 6, five ranks "older than 1 ... 5"; log-odds of zero: each judged rank costs log 2."""
    zero, ones = torch.zeros(3, 5), torch.ones(5)
    found = rank_loss(zero, age_of((3, 3), (2, 4), (4, 120)), 1, ones)
    # 2 to 4: older than 1 for sure, not older than 4 and 5 for sure. From 4: older than 1, 2, 3.
    assert found.tolist() == pytest.approx([5 * math.log(2), 3 * math.log(2), 3 * math.log(2)], rel=1e-6)
    sure = torch.tensor([[30.0, 30, -30, -30, -30]])
    assert rank_loss(sure, age_of((3, 3)), 1, ones).item() < 1e-6
    assert rank_loss(-sure, age_of((3, 3)), 1, ones).item() == pytest.approx(150, rel=1e-6)


def test_importance_is_the_root_of_the_larger_side() -> None:
    """Cao et al. 2020, section 3.5: of four faces of 1, 2, 2, 3 years the sides of ranks 1 and 2 are 3/1 and 1/3."""
    age = np.array([[1, 1], [2, 2], [2, 2], [3, 3]], np.float32)
    np.testing.assert_allclose(rank_importance(age, 1, 2), [1, 1])
    age = np.array([[1, 1], [3, 3], [3, 3], [3, 3], [2, 2]], np.float32)
    # Above 1: 4 to 1. Above 2: 3 to 2.
    np.testing.assert_allclose(rank_importance(age, 1, 2), [1, math.sqrt(3 / 4)])
    bins = np.array([[1, 2], [1, 2], [3, 3], [np.nan, np.nan]], np.float32)
    # Above 1 only the third is judged; above 2 two are not and one is.
    np.testing.assert_allclose(rank_importance(bins, 1, 2), [math.sqrt(1 / 2), 1])


def test_trained_ranks_are_consistent() -> None:
    """Biases fall with the rank at the loss' minimum (theorem 1), also where they began in disorder."""
    torch.manual_seed(2)
    feature, head = torch.randn(200, 4), Ranks(4, 20)
    age = (10 + 4 * feature[:, :1] + torch.randn(200, 1)).round().clamp(0, 20)
    with torch.no_grad():
        head.bias.copy_(head.bias.flip(0))
    weights = torch.from_numpy(rank_importance(age.expand(-1, 2).numpy(), 0, 20))
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(600):
        optimizer.zero_grad()
        rank_loss(head(feature), age.expand(-1, 2), 0, weights).mean().backward()
        optimizer.step()
    assert (head.bias[1:] <= head.bias[:-1] + 1e-3).all()
    said = head(feature).sigmoid()
    assert (said[:, 1:] <= said[:, :-1] + 1e-4).all()
    assert ((said > 0.5).sum(1) - age[:, 0]).abs().mean() < 1.5


# Labels, affect, teachers


def test_label_weights_even_labels_out_and_keep_the_mean_loss() -> None:
    target = smoothed(np.array([0] * 9 + [1, -1]), 2, 0.0)
    assert label_weights(target, 0.0).tolist() == [1, 1]
    even = label_weights(target, 1.0)
    np.testing.assert_allclose(even, [0.5 / 0.9, 5], rtol=1e-5)
    assert (even * [0.9, 0.1]).sum() == pytest.approx(1)


def test_label_loss_is_cross_entropy() -> None:
    answer, target = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.75, 0.25]])
    log = math.log(1 + math.exp(-2))
    assert label_loss(answer, target, torch.ones(2)).item() == pytest.approx(0.75 * log + 0.25 * (log + 2), rel=1e-6)


def test_affect_loss_is_the_squared_error_and_the_lack_of_concordance() -> None:
    truth = torch.tensor([[0.0, 0.5], [1.0, -0.5]])
    assert affect_loss(truth, truth, Plane(concordance=1)).tolist() == pytest.approx([0, 0], abs=1e-6)
    off = truth + torch.tensor([0.5, 0.0])
    assert affect_loss(off, truth, Plane(concordance=0)).tolist() == pytest.approx([0.125, 0.125])
    # Valence: 2 * .25 / (.25 + .25 + .25) = 2/3; arousal: 1. The mean lacks 1/6.
    assert affect_loss(off, truth, Plane(concordance=1)).tolist() == pytest.approx([1 / 6, 1 / 6], rel=1e-5)


def test_a_student_loses_least_where_it_answers_as_its_teacher() -> None:
    answer = torch.tensor([[1.0, 0.0, -1.0]])
    head = CategoricalHead(labels=("a", "b", "c"), output="x")
    for temperature in (1.0, 3.0):
        taught = as_head(head, head, answer, temperature)
        assert taught is not None
        same = teacher_loss(head, answer, taught, temperature)
        assert same.item() < teacher_loss(head, answer + torch.tensor([[0.5, 0, 0]]), taught, temperature).item()
        entropy = -(taught * taught.log()).sum() * temperature**2
        assert same.item() == pytest.approx(entropy.item(), rel=1e-5)


def test_a_distribution_teaches_ranks_and_nobody_teaches_other_labels() -> None:
    answer = torch.full((1, 101), -30.0)
    answer[0, 30] = answer[0, 40] = 0.0
    ranks = CoralHead(output="age", lowest=1, ranks=99)
    taught = as_head(ranks, AGE, answer, 1.0)
    assert taught is not None
    assert taught.shape == (1, 99)
    # Older than 29: all; than 30 and 39: half; than 40: none.
    assert taught[0, [28, 29, 38, 39]].tolist() == pytest.approx([1, 0.5, 0.5, 0], abs=1e-6)
    # As much as labels that are as sure: a teacher's share is one of the same thing.
    student, years = torch.zeros(1, 99), torch.tensor([[30.0, 30.0]])
    own = rank_loss(student, years, 1, torch.ones(99)).item()
    assert teacher_loss(ranks, student, taught, 1.0).item() == pytest.approx(own, rel=1e-6)
    assert as_head(GENDER, EXPRESSION, answer, 1.0) is None
    assert as_head(GENDER, CategoricalHead(labels=("male", "female"), output="x"), answer, 1.0) is None


def test_faces_without_a_label_have_no_part_in_its_loss_but_in_the_teachers() -> None:
    question = Question(head=GENDER, loss=Labels(weight=2.0), constants=torch.ones(2))
    answer, target = torch.tensor([[1.0, 0.0], [0.0, 5.0]]), torch.tensor([[1.0, 0.0], [math.nan, math.nan]])
    alone = label_loss(answer[:1], target[:1], torch.ones(2)).item()
    assert total_loss({"gender": question}, {"gender": answer}, {"gender": target})["gender"].item() == pytest.approx(
        2 * alone
    )
    nobody = torch.full((2, 2), math.nan)
    assert total_loss({"gender": question}, {"gender": answer}, {"gender": nobody})["gender"].item() == 0
    taught, teacher = answer.softmax(1), Teacher(network="x", checkpoints=("y",), share=0.25)
    value = total_loss({"gender": question}, {"gender": answer}, {"gender": target}, None, {"gender": taught}, teacher)
    own = teacher_loss(GENDER, answer, taught, 1.0).mean().item()
    assert value["gender"].item() == pytest.approx(2 * (0.75 * alone + 0.25 * own), rel=1e-5)


def test_a_head_without_a_loss_is_refused() -> None:
    with pytest.raises(UsageError, match="a head of this kind cannot be trained for age; give it another one: expect"):
        loss_for("age", RegressionHead(output="age", error_years=5.0), None)
    with pytest.raises(UsageError, match=r'\[loss.age\] does not fit the network\'s head; give kind = "distribution"'):
        loss_for("age", AGE, RankLoss())


# Answers


def test_logits_and_probabilities_of_all_heads_agree_with_what_a_device_reads() -> None:
    torch.manual_seed(5)
    kinds = {
        "age": {"kind": "coral", "length": 9},
        "expression": {"kind": "softmax", "length": 7},
        "affect": {"kind": "tanh", "length": 2},
    }

    class Net(Heads):
        outputs = tuple(kinds)

    class Stranger(nn.Module):
        """Gives probabilities alone."""

        outputs = tuple(kinds)

        def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
            return tuple(net(faces))

    net = Net(4, kinds).eval()
    heads: dict[Task, Any] = {
        "age": CoralHead(output="age", lowest=1, ranks=9),
        "expression": EXPRESSION,
        "affect": AffectHead(output="affect"),
    }
    feature = torch.randn(3, 4)
    said = logits(net, heads, feature)
    for (task, row), plain in zip(probabilities(said, heads).items(), net(feature), strict=True):
        torch.testing.assert_close(row, plain, msg=task)
    other = logits(Stranger(), heads, feature)
    torch.testing.assert_close(other["expression"], said["expression"].log_softmax(1))
    torch.testing.assert_close(other["age"], said["age"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(other["affect"], said["affect"])
