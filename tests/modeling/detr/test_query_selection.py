import pytest
import torch

from rankdet.modeling.detr import Memory, QuerySelection, box_code

# The first and last center of a row of 60 cells is less than a hundredth from the border.
CHANNELS, SHAPES = 16, [(3, 60), (3, 4)]
NUM_TOKENS = 3 * 60 + 3 * 4
# The second image is a half of the width and two thirds of the height.
RATIOS = torch.tensor([[[1.0, 1.0]] * 2, [[0.5, 2 / 3]] * 2])


def make_selection(num_queries=5, smallest_size=0.2):
    torch.manual_seed(0)
    selection = QuerySelection(
        num_channels=CHANNELS, num_queries=num_queries, smallest_size=smallest_size
    )
    torch.nn.init.normal_(list(selection.box_head.parameters())[-2])  # else boxes are the priors
    return selection


def make_memory(seed=0):
    """Random tokens of an image of the whole size and of one with padding."""
    tokens = torch.randn(2, NUM_TOKENS, CHANNELS, generator=torch.Generator().manual_seed(seed))
    is_padding = []
    for height, width in SHAPES:
        mask = torch.ones(2, height, width, dtype=torch.bool)
        mask[0] = False
        mask[1, : height * 2 // 3, : width // 2] = False
        is_padding.append(mask.flatten(1))
    return Memory(tokens.requires_grad_(), torch.cat(is_padding, dim=1), SHAPES, RATIOS)


def slow_priors(image):
    """One cell at a time."""
    priors = []
    for level, (height, width) in enumerate(SHAPES):
        valid_width, valid_height = torch.tensor([width, height]) * RATIOS[image, level]
        for y in range(height):
            for x in range(width):
                size = 0.2 * 2**level
                priors.append([(x + 0.5) / valid_width, (y + 0.5) / valid_height, size, size])
    return torch.tensor(priors)


def slow_logits_and_boxes(selection, memory, image):
    """One token at a time; None for what is no candidate."""
    results = []
    for token, padding, prior in zip(
        memory.tokens[image], memory.is_padding[image], slow_priors(image), strict=True
    ):
        if padding or prior.min() <= 0.01 or prior.max() >= 0.99:
            results.append(None)
            continue
        feature = selection.norm(selection.projection(token))
        delta = selection.box_head(feature)
        box = [1 / (1 + ((1 - p) / p) * (-d).exp()) for p, d in zip(prior, delta, strict=True)]
        results.append((selection.class_head(feature)[0], torch.stack(box)))
    return results


def test_logits_and_boxes_of_candidates():
    selection, memory = make_selection(), make_memory()
    _, predictions, is_candidate = selection(memory)
    assert predictions.logits.shape == (1, 2, NUM_TOKENS, 1)
    assert predictions.boxes.shape == (1, 2, NUM_TOKENS, 4)
    for image in range(2):
        for token, expected in enumerate(slow_logits_and_boxes(selection, memory, image)):
            assert is_candidate[image, token] == (expected is not None)
            if expected is not None:
                logit, box = expected
                torch.testing.assert_close(predictions.logits[0, image, token, 0], logit)
                torch.testing.assert_close(predictions.boxes[0, image, token], box)


def test_queries_are_the_best_candidates():
    selection, memory = make_selection(), make_memory()
    queries, predictions, _ = selection(memory)
    for image in range(2):
        rows = slow_logits_and_boxes(selection, memory, image)
        candidates = [n for n, row in enumerate(rows) if row is not None]
        best = sorted(candidates, key=lambda n: -rows[n][0].item())[:5]
        torch.testing.assert_close(queries.boxes[image], predictions.boxes[0, image, best])
        code = box_code(queries.boxes[image], 2 * CHANNELS)
        positions = selection.position_norm(selection.position(code))[:, :CHANNELS]
        torch.testing.assert_close(queries.positions[image], positions)
        assert torch.equal(queries.contents[image], selection.contents.weight)


def test_boxes_of_queries_are_constants_and_positions_are_learned():
    selection, memory = make_selection(), make_memory()
    queries = selection(memory).queries
    assert not queries.boxes.requires_grad
    (queries.positions.square().sum() + queries.contents.sum()).backward()
    assert memory.tokens.grad is None and all(
        p.grad is None for p in selection.box_head.parameters()
    )
    assert selection.position.weight.grad.any() and selection.contents.weight.grad.any()


def test_tokens_that_are_no_candidates_have_no_influence():
    selection, memory = make_selection(), make_memory()
    queries, predictions, is_candidate = selection(memory)
    changed = memory.tokens.masked_fill(~is_candidate.unsqueeze(2), 1e6)
    again = selection(memory._replace(tokens=changed))
    assert torch.equal(again.queries.boxes, queries.boxes)
    assert torch.equal(again.predictions.logits, predictions.logits)
    predictions.logits.sum().backward()
    assert memory.tokens.grad[is_candidate].any(dim=1).all()
    assert not memory.tokens.grad[~is_candidate].any()


def test_everything_is_finite_even_if_candidates_are_few():
    selection, memory = make_selection(num_queries=NUM_TOKENS), make_memory()
    queries, predictions, is_candidate = selection(memory)
    assert queries.boxes.shape == (2, NUM_TOKENS, 4) and not is_candidate.all()
    for x in (*queries, *predictions):
        assert x.isfinite().all()
    assert predictions.boxes.min() >= 0 and predictions.boxes.max() <= 1


def test_an_image_has_no_more_queries_than_tokens():
    queries = make_selection(num_queries=NUM_TOKENS + 1)(make_memory()).queries
    assert queries.contents.shape == queries.positions.shape == (2, NUM_TOKENS, CHANNELS)


def test_a_level_whose_priors_are_all_too_large():
    memory = make_memory()
    five = Memory(torch.zeros(2, 10, CHANNELS), torch.zeros(2, 10).bool(), [(1, 2)] * 5, RATIOS)
    five = five._replace(valid_ratios=torch.ones(2, 5, 2))
    make_selection(smallest_size=0.05)(five)
    six = Memory(torch.zeros(2, 12, CHANNELS), torch.zeros(2, 12).bool(), [(1, 2)] * 6, RATIOS)
    with pytest.raises(ValueError, match=r"level 5, is 1\.6.*smaller smallest_size or fewer"):
        make_selection(smallest_size=0.05)(six._replace(valid_ratios=torch.ones(2, 6, 2)))
    with pytest.raises(ValueError, match="level 1"):
        make_selection(smallest_size=0.6)(memory)


@pytest.mark.parametrize("size", [0.0, 0.01, 0.99, 2.0, float("nan")])
def test_sizes_that_are_never_used(size):
    with pytest.raises(ValueError, match="smallest_size is"):
        make_selection(smallest_size=size)


def test_no_queries():
    with pytest.raises(ValueError, match="num_queries is 0"):
        make_selection(num_queries=0)
