package attpc.screens;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javax.xml.parsers.DocumentBuilderFactory;
import org.csstudio.display.builder.model.ChildrenProperty;
import org.csstudio.display.builder.model.DisplayModel;
import org.csstudio.display.builder.model.Widget;
import org.csstudio.display.builder.model.WidgetProperty;
import org.csstudio.display.builder.model.persist.ModelLoader;
import org.csstudio.display.builder.model.persist.ModelWriter;
import org.w3c.dom.Element;
import org.w3c.dom.Node;

/**
 * Reads a display as Phoebus does and compares what it understood to what the file says: its reader
 * skips unknown properties without a word, and a bad number is noticed only when the value is read.
 */
final class ModelCheck {
    private final Faults faults;

    ModelCheck(final Faults faults) {
        this.faults = faults;
    }

    /** Checks a display, shown with these macros, or a class file; what is wrong goes to the faults. */
    void check(final File file, final Map<String, String> given) throws Exception {
        final DisplayModel model = Screen.load(file, given);
        final Element root =
                DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file).getDocumentElement();
        compare(file.getName(), root, model);
        if (!model.isClean()) {
            faults.add(file.getName() + ": Phoebus found errors in it");
        }
    }

    /** Reads a display and writes it as Phoebus' editor saves it. */
    static void save(final File file, final File target) throws Exception {
        final DisplayModel model;
        try (InputStream stream = new FileInputStream(file)) {
            model = ModelLoader.loadModel(stream, file.getPath());
        }
        try (ModelWriter writer = new ModelWriter(new FileOutputStream(target))) {
            writer.writeModel(model);
        }
    }

    private void compare(final String file, final Element xml, final Widget widget) {
        for (final Element property : children(xml)) {
            final String name = property.getTagName();
            if (!name.equals("widget") && widget.checkProperty(name).isEmpty()) {
                faults.add(file + ": " + widget + " has no property " + name);
            }
        }
        for (final WidgetProperty<?> property : widget.getProperties()) {
            property.getValue();
        }
        final List<Element> inside = children(xml).stream().filter(child -> child.getTagName().equals("widget")).toList();
        final ChildrenProperty held = ChildrenProperty.getChildren(widget);
        final List<Widget> widgets = held == null ? List.of() : held.getValue();
        if (inside.size() != widgets.size()) {
            faults.add(file + ": " + widget + " has " + widgets.size() + " widgets, but the file " + inside.size());
            return;
        }
        for (int i = 0; i < widgets.size(); i++) {
            compare(file, inside.get(i), widgets.get(i));
        }
    }

    private static List<Element> children(final Element parent) {
        final List<Element> found = new ArrayList<>();
        for (Node node = parent.getFirstChild(); node != null; node = node.getNextSibling()) {
            if (node instanceof Element element) {
                found.add(element);
            }
        }
        return found;
    }
}
