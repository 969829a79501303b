package attpc.screens;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import javafx.geometry.Bounds;
import javafx.geometry.Insets;
import javafx.scene.Node;
import javafx.scene.control.Label;
import javafx.scene.control.Labeled;
import javafx.scene.control.TableCell;
import javafx.scene.control.TextArea;
import javafx.scene.control.TextInputControl;
import javafx.scene.layout.Region;
import javafx.scene.text.Font;
import javafx.scene.text.Text;
import org.csstudio.display.builder.model.DisplayModel;
import org.csstudio.display.builder.model.Widget;
import org.csstudio.display.builder.model.WidgetProperty;
import org.csstudio.display.builder.model.properties.FontWidgetProperty;
import org.csstudio.display.builder.model.widgets.EmbeddedDisplayWidget;
import org.csstudio.display.builder.model.widgets.GroupWidget;
import org.csstudio.display.builder.model.widgets.LabelWidget;
import org.csstudio.display.builder.model.widgets.TextUpdateWidget;

/** Every text on a screen: how large it is, and how much room it has. Not to be used on JavaFX's thread. */
final class Texts {
    private final Screen screen;

    Texts(final Screen screen) {
        this.screen = screen;
    }

    /** @return the texts of the labels and the PVs of the readings that are seen now */
    List<String> visible() throws Exception {
        final List<Widget> widgets = screen.widgets();
        return Jfx.on(() -> {
            final List<String> found = new ArrayList<>();
            for (final Widget widget : widgets) {
                if (widget instanceof LabelWidget label && Jfx.isSeen(widget)) {
                    found.add(label.propText().getValue());
                } else if (widget instanceof TextUpdateWidget reading && Jfx.isSeen(widget)) {
                    found.add(reading.propPVName().getValue());
                }
            }
            return found;
        });
    }

    /**
     * @return of every text that is seen, parted by tabs: the display file, name, type and PV of the widget; size of the
     *     font; width and height that the text needs, those that it has; the text. Of a chart, which draws its texts itself,
     *     only the fonts.
     */
    List<String> measured() throws Exception {
        final List<Widget> widgets = screen.widgets();
        return Jfx.on(() -> {
            final List<String> found = new ArrayList<>();
            for (final Widget widget : widgets) {
                if (Jfx.isSeen(widget) && !(widget instanceof GroupWidget) && !(widget instanceof EmbeddedDisplayWidget)) {
                    measure(widget, found);
                }
            }
            return found;
        });
    }

    /**
     * JavaFX draws the text of a label in a part of it, which gets the text when the label is laid out.
     *
     * @return of every text that is seen but not drawn: the display file, name and type of the widget, the text, and what is
     *     drawn in its place
     */
    List<String> blank() throws Exception {
        final List<Widget> widgets = screen.widgets();
        return Jfx.on(() -> {
            final List<String> found = new ArrayList<>();
            for (final Widget widget : widgets) {
                if (Jfx.isSeen(widget) && !(widget instanceof GroupWidget) && !(widget instanceof EmbeddedDisplayWidget)) {
                    final List<String> texts = new ArrayList<>();
                    blank(Jfx.node(widget), texts);
                    for (final String text : texts) {
                        found.add(String.join("\t", file(widget), widget.getName(), widget.getType(), text));
                    }
                }
            }
            return found;
        });
    }

    private static void blank(final Node node, final List<String> found) {
        if (!node.isVisible()) {
            return;
        }
        if (node instanceof Labeled labeled && labeled.getText() != null) {
            final String drawn = Jfx.parts(labeled).stream().filter(Text.class::isInstance)
                    .map(part -> ((Text) part).getText()).findFirst().orElse("");
            if (!drawn.strip().equals(labeled.getText().strip())) {
                found.add(labeled.getText().replace('\t', ' ') + "\t" + drawn.replace('\t', ' '));
            }
        }
        Jfx.parts(node).forEach(part -> blank(part, found));
    }

    private static void measure(final Widget widget, final List<String> found) throws Exception {
        final List<String> texts = new ArrayList<>();
        measure(Jfx.node(widget), texts);
        if (texts.isEmpty() && widget.checkProperty("text").isEmpty() && Jfx.find(Jfx.node(widget), Labeled.class) == null) {
            for (final WidgetProperty<?> property : widget.getProperties()) {
                if (property instanceof FontWidgetProperty font) {
                    texts.add(row(font.getValue().getSize(), 0, 0, 0, 0, property.getName()));
                }
            }
        }
        final String pv = widget.checkProperty("pv_name").map(name -> String.valueOf(name.getValue())).orElse("");
        for (final String text : texts) {
            found.add(String.join("\t", file(widget), widget.getName(), widget.getType(), pv) + "\t" + text);
        }
    }

    private static String file(final Widget widget) throws Exception {
        final String file = widget.getDisplayModel().getUserData(DisplayModel.USER_DATA_INPUT_FILE);
        return file.substring(file.lastIndexOf('/') + 1);
    }

    private static void measure(final Node node, final List<String> found) {
        if (!node.isVisible()) {
            return;
        }
        if (node instanceof Labeled labeled && labeled.getText() != null && !labeled.getText().isBlank()) {
            final Insets padding = labeled instanceof Label label ? label.getLabelPadding() : Insets.EMPTY;
            found.add(measured(labeled, labeled.getText(), labeled.getFont(), labeled.isWrapText(), padding));
        } else if (node instanceof TextInputControl field) {
            if (!field.getText().isBlank()) {
                found.add(measured(field, field.getText(), field.getFont(),
                        field instanceof TextArea area && area.isWrapText(), Insets.EMPTY));
            }
        } else {
            Jfx.parts(node).forEach(part -> measure(part, found));
        }
    }

    private static String measured(
            final Region field, final String content, final Font font, final boolean wrapped, final Insets padding) {
        final Insets insets = field.getInsets();
        final double width =
                field.getWidth() - insets.getLeft() - insets.getRight() - padding.getLeft() - padding.getRight();
        double height = field.getHeight() - insets.getTop() - insets.getBottom() - padding.getTop() - padding.getBottom();
        if (field instanceof TableCell) { // all but the first line has the lower padding once less
            height = Math.max(height - field.getPadding().getBottom(), height(content.lines().findFirst().orElse(""), font));
        }
        final Text text = new Text(content.stripTrailing());
        text.setFont(font);
        if (wrapped) {
            text.setWrappingWidth(width);
        }
        final Bounds needed = text.getLayoutBounds();
        return row(font.getSize(), needed.getWidth(), needed.getHeight(), width, height, content);
    }

    private static double height(final String line, final Font font) {
        final Text text = new Text(line);
        text.setFont(font);
        return text.getLayoutBounds().getHeight();
    }

    private static String row(
            final double size, final double needs, final double needsHeight, final double has, final double hasHeight,
            final String text) {
        return String.format(Locale.ROOT, "%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%s", size, needs, needsHeight, has, hasHeight,
                text.replace('\t', ' '));
    }
}
