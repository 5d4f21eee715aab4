"""What stands on every report, as HTML: how to read it, and what it may not be used for."""

READING = """<p><b>mAP</b> asks whether all images of an individual come before everybody else's in a ranked list,
<b>rank-1</b> whether the first one is right, <b>mINP</b> how far down the hardest match lies; 100 is perfect.
<b>ARI</b> and <b>pairwise F</b> compare clusters with known individuals over all pairs of images: were those put
together that belong together? <b>Noise</b> is what the clusterer left out. A cluster's <b>purity</b> is the share of
its most frequent individual, its <b>cohesion</b> the mean cosine similarity of its images to their center. A cluster is
a guess: even a pure one may be only half of an individual.</p>"""

LIMITS = """<p>Not for identifying or following people who have not agreed to it, and not for surveillance. Not for any
decision about a person: a confident answer can be wrong, as ranked lists show, and errors are rarely spread evenly over
groups of people. A score on this data says little about other cameras, places or times.</p>"""

IDENTITY_READING = """<p>Look at the <b>doubtful tracks</b> first. <b>Confidence</b> is a margin, not a probability: 0
means that a track could as well be the second best, 1 that everybody else is far away, and 0.9 does not say that nine of
ten are right. The usual errors are one individual in two rows, often one for each camera or for front and back, and two
individuals in one row, often in similar clothes. The first kind is found among the <b>tracks alone</b>, the second by
going through the pictures of a row. Numbers of individuals are names and nothing more: another run gives others. The
pictures show one frame of each track; where it is a bad one, look at the track itself.</p>"""

_LIMITS_OF_IDENTITIES = """<p>Not for identifying or following people who have not agreed to it, and not for surveillance.
Not for any decision about a person: a confident answer can be wrong, and errors are rarely spread evenly over groups of
people. Nobody on this page is identified: {claim} look alike. This page holds pictures of them, so keep it as safe as
the {source}.</p>"""

IDENTITY_LIMITS = _LIMITS_OF_IDENTITIES.format(claim="a row says that some tracks", source="footage")

FOLDER_LIMITS = _LIMITS_OF_IDENTITIES.format(claim="a number says that some images", source="folder")

FOLDER_READING = """<p>Begin with the groups to <b>look at first</b>, then answer the pairs under <b>same or not?</b>; both
are where an error is most likely. The usual errors are one individual under two numbers, often one for each camera, side
or light, and two individuals under one number, often alike in color. The second kind shows in a strip as a picture that
does not belong; the first kind among the <b>images alone</b> and in the pairs. <b>Confidence</b> says how many
neighbors an image has in common with the other images of its individual; below the number in the overview it has fewer than
groups need to be united. <b>Trust</b> in a group is how much more its images have in common with each other than with the
nearest other group. Neither is a probability. Numbers of individuals are names and nothing more.</p>
<p>What you correct is kept: write the pairs into a file and run again with <code>--constraints</code> and
<code>--previous</code>.</p>"""
