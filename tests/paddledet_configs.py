"""Configurations in the shape of PaddleDetection's own: models, what they build on, and a distillation."""

from __future__ import annotations

from pathlib import Path

#: Names and contents.
FILES = {
    "runtime.yml": "use_gpu: true\nlog_iter: 20\nsave_dir: output\n",
    "datasets/steel.yml": """\
metric: COCO
num_classes: 6
TrainDataset:
  name: COCODataSet
  dataset_dir: dataset/steel
  image_dir: train
  anno_path: annotations/train.json
""",
    "retinanet/_base_/model.yml": """\
architecture: RetinaNet
RetinaNet: {backbone: ResNet, neck: FPN, head: RetinaHead}
ResNet:
  depth: 50
  variant: b
  norm_type: bn
  freeze_at: 0
  return_idx: [1,2,3]
  num_stages: 4
FPN:
  out_channel: 256
  spatial_scales: [0.125, 0.0625, 0.03125]
  extra_stage: 2
  has_extra_convs: true
  use_c5: false
RetinaHead:
  conv_feat: {name: RetinaFeat, feat_in: 256, feat_out: 256, num_convs: 4, norm_type: null, use_dcn: false}
  anchor_generator:
    name: RetinaAnchorGenerator
    octave_base_scale: 4
    scales_per_octave: 3
    aspect_ratios: [0.5, 1.0, 2.0]
    strides: [8.0, 16.0, 32.0, 64.0, 128.0]
  bbox_assigner: {name: MaxIoUAssigner, positive_overlap: 0.5, negative_overlap: 0.4, allow_low_quality: true}
  loss_class: {name: FocalLoss, gamma: 2.0, alpha: 0.25, loss_weight: 1.0}
  loss_bbox: {name: SmoothL1Loss, beta: 0.0, loss_weight: 1.0}
  nms: {name: MultiClassNMS, nms_top_k: 1000, keep_top_k: 80, score_threshold: 0.05, nms_threshold: 0.6}
""",
    "retinanet/_base_/optimizer.yml": """\
epoch: 24
LearningRate:
  base_lr: 0.01
  schedulers:
  - !PiecewiseDecay
    gamma: 0.1
    milestones: [16, 22]
  - !LinearWarmup
    start_factor: 0.001
    steps: 500
OptimizerBuilder:
  optimizer: {momentum: 0.9, type: Momentum}
  regularizer: {factor: 1e-4, type: L2}
""",
    "retinanet/_base_/reader.yml": """\
height: &height 800
size: &size [*height, 1333]
TrainReader:
  sample_transforms:
  - Decode: {}
  - RandomResize: {target_size: [[640, 1333], *size], keep_ratio: True}
  - RandomFlip: {}
  - NormalizeImage: {is_scale: True, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
  - Permute: {}
  batch_size: 2
EvalReader:
  sample_transforms:
  - Resize: {target_size: *size, keep_ratio: True}
""",
    "retinanet/r50.yml": """\
_BASE_: ['../datasets/steel.yml', '../runtime.yml', '_base_/model.yml', '_base_/optimizer.yml', '_base_/reader.yml']
pretrain_weights: http://paddledet.bj.bcebos.com/models/retinanet_r50_fpn_2x_coco.pdparams
weights: output/r50/model_final
epoch: 30
""",
    "retinanet/r101.yml": """\
_BASE_: [r50.yml]
pretrain_weights: ppdet://models/pretrained/ResNet101_pretrained.pdparams
ResNet: {depth: 101}
""",
    "slim/mgd.yml": """\
_BASE_: ['../retinanet/r101.yml']
pretrain_weights: output/r101/best_model
slim: Distill
slim_method: MGD
distill_loss: MGDFeatureLoss
distill_loss_name: ['neck_f_4', 'neck_f_3', 'neck_f_2', 'neck_f_1', 'neck_f_0']
MGDFeatureLoss:
  student_channels: 256
  teacher_channels: 256
  alpha_mgd: 0.00002
  lambda_mgd: 0.65
""",
    "picodet/s.yml": """\
_BASE_: ['../datasets/steel.yml', '../runtime.yml']
architecture: PicoDet
epoch: 300
use_ema: true
PicoDet: {backbone: LCNet, neck: LCPAN, head: PicoHeadV2}
LCNet: {scale: 0.75, feature_maps: [3, 4, 5]}
LCPAN: {out_channels: 96, use_depthwise: True, num_features: 4}
PicoHeadV2:
  conv_feat:
    name: PicoFeat
    feat_in: 96
    feat_out: 96
    num_convs: 2
    num_fpn_stride: 4
    norm_type: bn
    share_cls_reg: True
    use_se: True
  fpn_stride: [8, 16, 32, 64]
  feat_in_chan: 96
  prior_prob: 0.01
  reg_max: 7
  cell_offset: 0.5
  static_assigner_epoch: 100
  static_assigner: {name: ATSSAssigner, topk: 9, force_gt_matching: False}
  assigner: {name: TaskAlignedAssigner, topk: 13, alpha: 1.0, beta: 6.0}
  loss_class: {name: VarifocalLoss, use_sigmoid: False, iou_weighted: True, loss_weight: 1.0}
  loss_dfl: {name: DistributionFocalLoss, loss_weight: 0.5}
  loss_bbox: {name: GIoULoss, loss_weight: 2.5}
LearningRate:
  base_lr: 0.32
  schedulers:
  - name: CosineDecay
    max_epochs: 300
  - name: LinearWarmup
    start_factor: 0.1
    steps: 300
TrainReader:
  sample_transforms:
  - RandomCrop: {}
  - RandomDistort: {}
  batch_transforms:
  - NormalizeImage: {is_scale: true, mean: [0.485,0.456,0.406], std: [0.229, 0.224,0.225]}
  batch_size: 64
EvalReader:
  sample_transforms:
  - Resize: {interp: 2, target_size: [320, 320], keep_ratio: False}
""",
    "picodet/esnet.yml": """\
architecture: PicoDet
PicoDet: {backbone: ESNet, neck: CSPPAN, head: PicoHead}
ESNet:
  scale: 1.25
  feature_maps: [4, 11, 14]
  channel_ratio: [0.875, 0.5, 1.0, 0.625, 0.5, 0.75, 0.625, 0.625, 0.5, 0.625, 1.0, 0.625, 0.75]
CSPPAN: {out_channels: 160, num_features: 4}
PicoHead:
  conv_feat: {name: PicoFeat, feat_in: 160, feat_out: 160, num_convs: 3, num_fpn_stride: 4, share_cls_reg: True}
  fpn_stride: [8, 16, 32, 64]
  feat_in_chan: 160
  reg_max: 7
  cell_offset: 0.5
  loss_class: {name: VarifocalLoss, use_sigmoid: True}
  loss_dfl: {name: DistributionFocalLoss, loss_weight: 0.25}
  loss_bbox: {name: GIoULoss, loss_weight: 2.0}
  assigner: {name: SimOTAAssigner, candidate_topk: 10, iou_weight: 6}
""",
    "ppyoloe/plus_s.yml": """\
_BASE_: ['../datasets/steel.yml']
architecture: YOLOv3
norm_type: sync_bn
use_ema: true
ema_decay: 0.9998
depth_mult: 0.33
width_mult: 0.50
epoch: 80
YOLOv3: {backbone: CSPResNet, neck: CustomCSPPAN, yolo_head: PPYOLOEHead, post_process: ~}
CSPResNet:
  layers: [3, 6, 6, 3]
  channels: [64, 128, 256, 512, 1024]
  return_idx: [1, 2, 3]
  use_large_stem: True
  use_alpha: True
CustomCSPPAN: {out_channels: [768, 384, 192], stage_num: 1, block_num: 3, act: 'swish', spp: true}
PPYOLOEHead:
  fpn_strides: [32, 16, 8]
  static_assigner_epoch: 30
  loss_weight: {class: 1.0, iou: 2.5, dfl: 0.5}
  static_assigner: {name: ATSSAssigner, topk: 9}
  assigner: {name: TaskAlignedAssigner, topk: 13, alpha: 1.0, beta: 6.0}
  nms: {name: MultiClassNMS, nms_top_k: 1000, keep_top_k: 300, score_threshold: 0.01, nms_threshold: 0.7}
TrainReader:
  batch_transforms:
  - NormalizeImage: {mean: [0., 0., 0.], std: [1., 1., 1.], norm_type: none}
""",
}


def write_configs(folder: Path) -> Path:
    """Write all of them below a folder, which is given back."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
