import pytest
import torch
from modeling.detr.transformer_toy import PADDED_SIZE, SHAPES, SMALL_SIZE, make_batch, make_masks

from rankdet.modeling.detr.maps import as_memory

SIZES = [(40, 56), (64, 96), (33, 96), (64, 1), (17, 31)]


def test_a_cell_is_padding_if_its_nearest_pixel_is():
    shapes = [*SHAPES, (5, 7), (1, 1), (64, 96)]
    masks = make_masks(SIZES, PADDED_SIZE, shapes)
    for mask, (height, width) in zip(masks, shapes, strict=True):
        assert mask.shape == (len(SIZES), height, width)
        for image, size in enumerate(SIZES):
            for i in range(height):
                for j in range(width):
                    pixel = i * PADDED_SIZE[0] // height, j * PADDED_SIZE[1] // width
                    expected = pixel[0] >= size[0] or pixel[1] >= size[1]
                    assert mask[image, i, j] == expected


def test_valid_ratios_are_shares_of_width_and_height():
    ratios = as_memory(*make_batch()).valid_ratios
    expected = torch.tensor([[[7 / 12, 5 / 8], [4 / 6, 3 / 4]], [[1, 1], [1, 1]]])
    torch.testing.assert_close(ratios, expected.double(), rtol=0, atol=1e-7)
    assert ratios[0, 0, 0].item() == 7 / 12  # Not as rounded by float32.


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_ratios_of_maps_in_half_precision_are_not(dtype):
    maps, masks = make_batch()
    memory = as_memory([x.to(dtype) for x in maps], masks)
    assert memory.tokens.dtype == dtype and memory.valid_ratios.dtype == torch.float32
    torch.testing.assert_close(memory.valid_ratios, as_memory(maps, masks).valid_ratios.float())


def test_tokens_are_the_cells_of_a_level_row_by_row():
    maps, masks = make_batch()
    memory = as_memory(maps, masks)
    token = 0
    for cells, mask, (height, width) in zip(maps, masks, SHAPES, strict=True):
        for i in range(height):
            for j in range(width):
                assert torch.equal(memory.tokens[:, token], cells[:, :, i, j])
                assert torch.equal(memory.is_padding[:, token], mask[:, i, j])
                token += 1
    assert token == memory.tokens.shape[1] == memory.is_padding.shape[1]


def test_levels_are_the_maps():
    maps, masks = make_batch()
    memory = as_memory(maps, masks)
    assert memory.shapes == SHAPES
    for level, cells in zip(memory.levels(), maps, strict=True):
        assert torch.equal(level, cells)


def test_an_image_without_padding_has_none():
    for mask in make_masks([SMALL_SIZE], SMALL_SIZE, [(5, 7), (3, 4)]):
        assert not mask.any()
