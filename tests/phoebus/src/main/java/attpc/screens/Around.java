package attpc.screens;

import java.util.ArrayList;
import java.util.List;
import javafx.geometry.Orientation;
import javafx.scene.Node;
import javafx.scene.control.ScrollBar;
import javafx.scene.control.Tooltip;
import org.csstudio.display.builder.model.DisplayModel;
import org.csstudio.display.builder.model.Widget;
import org.csstudio.display.builder.model.widgets.EmbeddedDisplayWidget;

/** What is around the widgets of a screen: their tooltips, and the bars to scroll them. Not to be used on JavaFX's thread. */
final class Around {
    /** Where JavaFX keeps the tooltip of a node. */
    private static final String TOOLTIP = "javafx.scene.control.Tooltip";

    private final Screen screen;

    Around(final Screen screen) {
        this.screen = screen;
    }

    /** @return of every widget that is seen and has a tooltip, parted by tabs: the display file, name and type; the tooltip */
    List<String> tooltips() throws Exception {
        final List<Widget> widgets = screen.widgets();
        return Jfx.on(() -> {
            final List<String> found = new ArrayList<>();
            for (final Widget widget : widgets) {
                final Node node = Jfx.node(widget);
                if (Jfx.isSeen(widget) && node.hasProperties() && node.getProperties().get(TOOLTIP) instanceof Tooltip tooltip) {
                    if (tooltip.getOnShowing() != null) {
                        tooltip.getOnShowing().handle(null); // there Phoebus gives it its text
                    }
                    found.add(String.join("\t", file(widget), widget.getName(), widget.getType(), tooltip.getText()));
                }
            }
            return found;
        });
    }

    /** @return the names of the embedded displays that have a bar in this direction: horizontal or vertical */
    List<String> bars(final Orientation direction) throws Exception {
        final List<Widget> widgets = screen.widgets();
        return Jfx.on(() -> {
            final List<String> found = new ArrayList<>();
            for (final Widget widget : widgets) {
                if (widget instanceof EmbeddedDisplayWidget && Jfx.isSeen(widget)) {
                    final boolean has = Jfx.node(widget).lookupAll(".scroll-bar").stream().anyMatch(
                            node -> node instanceof ScrollBar bar && bar.getOrientation() == direction && bar.isVisible());
                    if (has) {
                        found.add(widget.getName());
                    }
                }
            }
            return found;
        });
    }

    private static String file(final Widget widget) throws Exception {
        final String path = widget.getDisplayModel().getUserData(DisplayModel.USER_DATA_INPUT_FILE);
        return path.substring(path.lastIndexOf('/') + 1);
    }
}
