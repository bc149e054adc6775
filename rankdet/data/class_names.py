"""Names of the classes of registered datasets."""

from rankdet.data.file_counts import file_counts
from rankdet.data.registered import annotation_path, ensure_dataset, load_dicts, reader_of


def read_class_names(name: str) -> list[str]:
    """Look up the names of a dataset's classes, by contiguous class id.

    Detectron2's ``register_coco_instances`` sets the metadata only when the dicts are loaded; until
    then the annotation file has the names, in the order of its category ids.

    Args:
        name: a registered dataset.

    Raises:
        ValueError: there is no such dataset, its annotation file is damaged, or there is neither
            an annotation file nor a list of names.
        FileNotFoundError: the annotation file is missing.
    """
    metadata = ensure_dataset(name)
    names: list[str] | None = metadata.get("thing_classes")
    path = annotation_path(metadata)
    if names is None and path is not None:
        names = file_counts(path, dataset_name=name, reader=reader_of(metadata)).names
    elif names is None:
        load_dicts(name)  # A dataset's function may set its metadata.
        names = metadata.get("thing_classes")
    if names is None:
        raise ValueError(
            f"The classes of dataset {name!r} are unknown; set "
            f"MetadataCatalog.get({name!r}).thing_classes to the list of their names."
        )
    return list(names)
