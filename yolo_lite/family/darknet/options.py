"""The sections of Darknet's .cfg files and their options: which there are, and what becomes of each here."""

from collections.abc import Mapping
from types import MappingProxyType

# What becomes of an option: "" it is used; one of NEUTRAL: it may only have that value, with which it has no effect;
# any other text is why it has no effect here.
OFF = "off"
ONE = "one"
NONE = "none"
NEUTRAL: Mapping[str, str] = MappingProxyType({OFF: "0", ONE: "1", NONE: "none"})
WEIGHTED = "only of effect with a weights_type other than none"
TRAINING = "training is set up by hyperparameters and training options"
AUGMENTATION = "augmentation is set up by hyperparameters"
RUNNING = "how Darknet runs the network"
NMS = "non-maximum suppression is set up where predictions are made"
UNUSED = "Darknet does not use it either"
LOSS = "this part of Darknet's loss is not built"
TRUTHS = "the number of objects in an image is not limited"


def _all(reason: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), reason)


NET = (
    _all("", "batch width height channels")
    | _all(
        TRAINING,
        "subdivisions momentum decay learning_rate burn_in max_batches policy steps scales power step scale gamma adam "
        "B1 B2 eps ema_alpha time_steps max_epochs seq_scales learning_rate_min sgdr_cycle sgdr_mult batches_per_cycle "
        "batches_cycle_mult loss_scale dynamic_minibatch sequential_subdivisions num_sigmas_reject_badlabels "
        "badlabels_rejection_percentage equidistant_point adversarial_lr attention weights_reject_freq",
    )
    | _all(
        AUGMENTATION,
        "angle saturation exposure hue mosaic cutmix mixup letter_box flip blur gaussian_noise max_crop min_crop "
        "aspect center mosaic_bound contrastive contrastive_jit_flip contrastive_color unsupervised "
        "augment_speed track inputs max_chart_loss",
    )
    | _all(RUNNING, "optimized_memory workspace_size_limit_MB try_fix_nan use_cuda_graph compute_tensor_cores")
)
ACTIVATION = _all("", "activation")
BINARY = _all(OFF, "binary xnor bin_output use_bin_output")
KNOWN: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "net": NET,
        "convolutional": ACTIVATION
        | BINARY
        | _all("", "filters size stride stride_x stride_y pad padding groups dilation batch_normalize")
        | _all(OFF, "flipped dot antialiasing share_index assisted_excitation deform sway rotate stretch stretch_sway")
        | _all(OFF, "reverse cbn counters")
        | _all(TRAINING, "stopbackward dontload dontloadscales learning_scale train_only_bn burnin_update")
        | _all(UNUSED, "flip"),
        "maxpool": _all("", "size stride stride_x stride_y padding") | _all(OFF, "maxpool_depth antialiasing"),
        "avgpool": {},
        "route": _all("", "layers groups group_id") | _all(OFF, "stream") | _all(TRAINING, "stopbackward"),
        "shortcut": ACTIVATION
        | _all("", "from")
        | _all(TRAINING, "stopbackward")
        | _all(ONE, "alpha beta")
        | _all(NONE, "weights_type")
        | _all(WEIGHTED, "weights_normalization"),
        "upsample": _all("", "stride scale"),
        "reorg": _all("", "stride reverse") | _all(OFF, "flatten extra"),
        "local": ACTIVATION | _all("", "filters size stride pad"),
        "connected": ACTIVATION | _all("", "output batch_normalize"),
        "dropout": _all("", "probability") | _all(OFF, "dropblock dropblock_size_rel dropblock_size_abs"),
        "softmax": _all("", "groups temperature") | _all(OFF, "spatial noloss tree"),
        "cost": _all(TRAINING, "type scale ratio noobj thresh"),
        "crop": _all("", "crop_width crop_height noadjust")
        | _all(AUGMENTATION, "flip angle saturation exposure hue shift"),
        "detection": _all("", "classes coords side num softmax sqrt rescore")
        | _all("", "object_scale noobject_scale class_scale coord_scale")
        | _all(AUGMENTATION, "jitter")
        | _all(TRUTHS, "max")
        | _all(OFF, "forced background reorg")
        | _all(LOSS, "random"),
        "region": _all("", "anchors classes coords num softmax rescore bias_match thresh max")
        | _all("", "object_scale noobject_scale class_scale coord_scale")
        | _all(AUGMENTATION, "jitter random")
        | _all(UNUSED, "absolute log sqrt")
        | _all(OFF, "background mask_scale focal_loss"),
        "yolo": _all("", "mask anchors classes num scale_x_y new_coords ignore_thresh truth_thresh")
        | _all("", "iou_normalizer obj_normalizer cls_normalizer iou_loss iou_thresh label_smooth_eps focal_loss")
        | _all("", "max_delta objectness_smooth delta_normalizer max")
        | _all(AUGMENTATION, "jitter random resize")
        | _all(NMS, "nms_kind beta_nms")
        | _all(RUNNING, "show_details")
        | _all(LOSS, "iou_thresh_kind counters_per_class")
        | _all(OFF, "embedding_layer track_history_size sim_thresh dets_for_track dets_for_show track_ciou_norm"),
    }
)
ALIASES: Mapping[str, str] = MappingProxyType(
    {kind: kind for kind in KNOWN}
    | {"network": "net", "conv": "convolutional", "max": "maxpool", "avg": "avgpool", "conn": "connected"}
    | {"soft": "softmax"}
)
# Options and values that only AlexeyAB's Darknet knows: a file that uses one of them is read as his.
_ALEXEYAB = {
    "net": "mosaic cutmix mixup letter_box ema_alpha optimized_memory blur gaussian_noise",
    "convolutional": "dilation stride_x stride_y antialiasing share_index assisted_excitation",
    "maxpool": "stride_x stride_y maxpool_depth antialiasing",
    "route": "groups group_id",
    "shortcut": "weights_type weights_normalization",
    "yolo": "scale_x_y new_coords iou_normalizer obj_normalizer cls_normalizer delta_normalizer iou_loss iou_thresh "
    "label_smooth_eps focal_loss max_delta objectness_smooth nms_kind beta_nms resize show_details iou_thresh_kind "
    "counters_per_class",
}
ALEXEYAB_OPTIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {kind: frozenset(names.split()) for kind, names in _ALEXEYAB.items()}
)
ALEXEYAB_ACTIVATIONS = frozenset(("mish", "swish", "relu6"))
