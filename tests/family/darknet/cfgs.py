"""Small .cfg texts for the tests."""

NET = "[net]\nbatch=4\nwidth=64\nheight=64\nchannels=3\n"
CONV = "[convolutional]\nbatch_normalize=1\nfilters={}\nsize=3\nstride={}\npad=1\nactivation=leaky\n"
BODY = CONV.format(8, 4) + CONV.format(16, 2) + CONV.format(16, 2)  # stride 16
LINEAR = "[convolutional]\nfilters={}\nsize=1\nstride=1\npad=1\nactivation={}\n"
V1_HEAD = (
    "[connected]\noutput=88\nactivation=linear\n"  # 2 * 2 * (2 * 5 + 12)
    "[detection]\nclasses=12\ncoords=4\nside=2\nnum=2\nsqrt=1\nrescore=1\nnoobject_scale=.5\ncoord_scale=5\n"
)
V1 = NET + BODY + V1_HEAD
V2 = (
    NET
    + BODY
    + LINEAR.format(16, "linear")
    + "[region]\nanchors=.5,.5, 2,2\nclasses=3\ncoords=4\nnum=2\nsoftmax=1\nbias_match=1\nthresh=.6\nobject_scale=5\n"
)
YOLO = "[yolo]\nmask={}\nanchors=4,4, 8,8, 16,16, 32,32\nclasses=3\nnum=4\n{}\n"
V3 = (
    NET
    + BODY
    + LINEAR.format(16, "linear")
    + YOLO.format("2,3", "ignore_thresh=.7")
    + "[route]\nlayers=1\n"
    + LINEAR.format(16, "linear")
    + YOLO.format("0,1", "ignore_thresh=.7")
)
V4_OPTIONS = "scale_x_y=1.1\niou_loss=ciou\niou_normalizer=.07\niou_thresh=.213\nignore_thresh=.7\nmax_delta=5"
V4 = V3.replace("ignore_thresh=.7", V4_OPTIONS)
CSP = NET + BODY + LINEAR.format(16, "logistic") + YOLO.format("2,3", V4_OPTIONS + "\nnew_coords=1")
ALL = {"v1": V1, "v2": V2, "v3": V3, "v4": V4, "csp": CSP}
