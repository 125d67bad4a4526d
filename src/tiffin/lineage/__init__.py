"""Lineage: what versions of tables were made from, and what is made from them.

::

    inputs       what a save names as its inputs, recognised where it is a table or a file
    code         the git commit of the code in the current folder
    graph        the lineage of a table, up and down
    layers       where the nodes of a picture stand
    pictures     a lineage as Mermaid text and as SVG
    events       the same as OpenLineage events
"""

from tiffin.lineage.graph import Edge, Lineage, Node
from tiffin.lineage.pictures import to_mermaid, to_svg

__all__ = ["Edge", "Lineage", "Node", "to_mermaid", "to_svg"]
