"""Experiments that stand for all in quick tests: each kind of detector and of loss."""

# ECM in Mask R-CNN on glyphs is trained by many tests of the engine.
QUICK = (
    "glyphs/mask_rcnn_smoke_rs",
    "glyphs/mask_rcnn_r18_fpn_rfs_pcb",
    "glyphs/mask_rcnn_r18_fpn_seesaw_pcb",
    "glyphs/faster_rcnn_r18_fpn_alrp",
    "glyphs/retinanet_r18_fpn_alrp",
    "glyphs/fcos_r18_fpn_ecm",
    "glyphs/atss_r18_fpn_brs",
    "glyphs/paa_r18_fpn_ecm",
    "glyphs/varifocalnet_r18_fpn_ecm",
    "glyphs/deformable_detr_r18_brs",
    "glyphs/rs_detr_r18",
    "lvis_v1/mask_rcnn_r50_fpn_1x_ecm",
)
