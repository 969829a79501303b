package attpc.screens;

import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javafx.application.Platform;
import javafx.event.Event;
import javafx.scene.Node;
import javafx.scene.Parent;
import javafx.scene.control.ButtonBase;
import javafx.scene.control.ButtonType;
import javafx.scene.control.DialogPane;
import javafx.scene.control.TableView;
import javafx.scene.control.TextInputControl;
import javafx.scene.input.KeyCode;
import javafx.scene.input.KeyEvent;
import javafx.stage.Stage;
import javafx.stage.Window;
import org.csstudio.display.builder.model.ChildrenProperty;
import org.csstudio.display.builder.model.DisplayModel;
import org.csstudio.display.builder.model.Widget;
import org.csstudio.display.builder.model.persist.ModelLoader;
import org.csstudio.display.builder.model.widgets.ActionButtonWidget;
import org.csstudio.display.builder.model.widgets.EmbeddedDisplayWidget;
import org.csstudio.display.builder.model.widgets.LabelWidget;
import org.csstudio.display.builder.model.widgets.TableWidget;
import org.csstudio.display.builder.model.widgets.TextEntryWidget;
import org.csstudio.display.builder.model.widgets.TextUpdateWidget;
import org.csstudio.display.builder.model.widgets.VisibleWidget;
import org.csstudio.display.builder.representation.javafx.JFXStageRepresentation;
import org.csstudio.display.builder.representation.javafx.widgets.JFXBaseRepresentation;
import org.csstudio.display.builder.runtime.RuntimeUtil;
import org.phoebus.framework.macros.Macros;
import org.phoebus.pv.PV;
import org.phoebus.pv.PVPool;
import org.phoebus.pv.RefCountMap;
import org.phoebus.ui.javafx.Screenshot;
import org.phoebus.ui.javafx.Styles;

/** One window of the display runtime, and what a person does in it. Not to be used on JavaFX's thread. */
final class Screen {
    private static final int PATIENCE_SECONDS = 30;

    private Stage stage;
    private JFXStageRepresentation toolkit;
    private DisplayModel model;

    /** @return the display with macros as Phoebus gives them to it and all that it embeds */
    static DisplayModel load(final File file, final Map<String, String> given) throws Exception {
        final DisplayModel loaded = ModelLoader.loadModel(file.getPath());
        final Macros macros = new Macros();
        given.forEach(macros::add);
        loaded.expandMacros(macros);
        return loaded;
    }

    /** Shows a display in place of the one before. */
    void open(final File file, final Map<String, String> given) throws Exception {
        close();
        final DisplayModel loaded = load(file, given);
        onScreen(() -> {
            stage = new Stage();
            toolkit = new JFXStageRepresentation(stage);
            RuntimeUtil.hookRepresentationListener(toolkit);
            final Parent parent = toolkit.configureStage(loaded, RuntimeUtil::stopRuntime);
            Styles.setSceneStyle(stage.getScene());
            toolkit.representModel(parent, loaded);
            return null;
        });
        model = loaded;
        RuntimeUtil.startRuntime(loaded);
        toolkit.awaitRepresentation(PATIENCE_SECONDS, TimeUnit.SECONDS);
        if (!loaded.isClean()) {
            throw new IllegalStateException("Phoebus found errors in " + file.getName());
        }
    }

    /** Ends the display and its window. */
    void close() throws Exception {
        if (model != null) {
            final DisplayModel shown = model;
            model = null;
            RuntimeUtil.stopRuntime(shown);
            onScreen(() -> {
                toolkit.disposeRepresentation(shown);
                stage.close();
                return null;
            });
            shown.dispose();
        }
    }

    /** @return the PVs, of widgets and of rules, that are connected */
    static List<String> connected() {
        final List<String> found = new ArrayList<>();
        for (final RefCountMap.ReferencedEntry<PV> reference : PVPool.getPVReferences()) {
            final PV pv = reference.getEntry();
            if (!PV.isDisconnected(pv.read())) {
                found.add(pv.getName());
            }
        }
        return found;
    }

    /** @return the widgets, those in embedded displays too, whose PVs are not all connected */
    List<String> disconnected() throws Exception {
        final List<String> found = new ArrayList<>();
        for (final Widget widget : widgets(model)) {
            if (widget instanceof VisibleWidget visible && !visible.runtimePropConnected().getValue()) {
                found.add(widget.getDisplayModel().getDisplayName() + ": " + widget);
            }
        }
        return found;
    }

    /** Writes what is seen to a PNG file. */
    void photograph(final File target) throws Exception {
        final Screenshot picture = onScreen(() -> new Screenshot(stage.getScene()));
        picture.writeToFile(target);
    }

    /** @return the PVs of the buttons, text entries and choices that can be operated now */
    List<String> enabled() {
        return widgets(model).stream().filter(Screen::isEnabled).map(widget -> widget.getPropertyValue("pv_name"))
                .map(String::valueOf).filter(pv -> !pv.isEmpty()).toList();
    }

    private static boolean isEnabled(final Widget widget) {
        return widget.checkProperty("enabled").isPresent() && widget.checkProperty("pv_writable").isPresent()
                && Boolean.TRUE.equals(widget.getPropertyValue("enabled"))
                && Boolean.TRUE.equals(widget.getPropertyValue("pv_writable"));
    }

    /** @return the texts of the labels and the PVs of the readings that are seen now */
    List<String> visible() {
        final List<String> found = new ArrayList<>();
        for (final Widget widget : widgets(model)) {
            if (widget instanceof LabelWidget label && label.propVisible().getValue()) {
                found.add(label.propText().getValue());
            } else if (widget instanceof TextUpdateWidget reading && reading.propVisible().getValue()) {
                found.add(reading.propPVName().getValue());
            }
        }
        return found;
    }

    /** Presses the button of this name and says Yes to the question that follows. */
    void press(final String name) throws Exception {
        if (!isEnabled(button(name))) {
            throw new IllegalStateException(name + " is not enabled");
        }
        final Node node = JFXBaseRepresentation.getJFXNode(button(name));
        final ButtonBase button = (ButtonBase) onScreen(() -> node.lookup(".action_button"));
        Platform.runLater(button::fire);
        final DialogPane question = waitFor(() -> onScreen(Screen::dialog));
        onScreen(() -> {
            final ButtonType answer = question.getButtonTypes().contains(ButtonType.YES) ? ButtonType.YES : ButtonType.OK;
            ((ButtonBase) question.lookupButton(answer)).fire();
            return null;
        });
    }

    /** Marks a row of the table of this name. */
    void mark(final String name, final int row) throws Exception {
        final Widget table = widgets(model).stream().filter(each -> each instanceof TableWidget && each.getName().equals(name))
                .findFirst().orElseThrow(() -> new IllegalArgumentException("no table is named " + name));
        final Node node = JFXBaseRepresentation.getJFXNode(table);
        onScreen(() -> {
            final TableView<?> view = (TableView<?>) node.lookup(".table-view");
            view.getSelectionModel().clearAndSelect(row);
            return null;
        });
    }

    /**
     * Types a text into the entry of this PV in place of what is there, and presses Enter. Every key goes through the
     * field, since the first one makes Phoebus select the old text, which the next one then replaces.
     */
    void type(final String pv, final String text) throws Exception {
        final TextInputControl field = entry(pv);
        onScreen(() -> {
            if (!field.isEditable()) {
                throw new IllegalStateException("nothing can be typed into the entry of " + pv);
            }
            field.requestFocus();
            press(field, KeyCode.HOME);
            press(field, KeyCode.BACK_SPACE);
            text.codePoints().mapToObj(Character::toString).forEach(character -> Event.fireEvent(
                    field,
                    new KeyEvent(KeyEvent.KEY_TYPED, character, "", KeyCode.UNDEFINED, false, false, false, false)));
            if (!field.getText().equals(text)) {
                throw new IllegalStateException("typing left " + field.getText() + " in the entry of " + pv);
            }
            press(field, KeyCode.ENTER);
            return null;
        });
    }

    private static void press(final Node node, final KeyCode key) {
        Event.fireEvent(node, new KeyEvent(KeyEvent.KEY_PRESSED, "", "", key, false, false, false, false));
    }

    /** @return what the text entry of this PV shows */
    String shown(final String pv) throws Exception {
        final TextInputControl field = entry(pv);
        return onScreen(field::getText);
    }

    private TextInputControl entry(final String pv) {
        for (final Widget widget : widgets(model)) {
            if (widget instanceof TextEntryWidget entry && entry.propPVName().getValue().equals(pv)) {
                return (TextInputControl) JFXBaseRepresentation.getJFXNode(widget);
            }
        }
        throw new IllegalArgumentException("there is no text entry of " + pv);
    }

    private ActionButtonWidget button(final String name) {
        for (final Widget widget : widgets(model)) {
            if (widget instanceof ActionButtonWidget button && button.getName().equals(name)) {
                return button;
            }
        }
        throw new IllegalArgumentException("no button is named " + name);
    }

    private static DialogPane dialog() {
        for (final Window window : Window.getWindows()) {
            if (window.getScene() != null && window.getScene().getRoot() instanceof DialogPane pane) {
                return pane;
            }
        }
        return null;
    }

    private static List<Widget> widgets(final Widget holder) {
        final List<Widget> found = new ArrayList<>();
        final ChildrenProperty children = ChildrenProperty.getChildren(holder);
        for (final Widget child : children == null ? List.<Widget>of() : children.getValue()) {
            found.add(child);
            found.addAll(widgets(child));
            if (child instanceof EmbeddedDisplayWidget embedded) {
                final DisplayModel inside = embedded.runtimePropEmbeddedModel().getValue();
                if (inside != null) {
                    found.addAll(widgets(inside));
                }
            }
        }
        return found;
    }

    private static <T> T onScreen(final Callable<T> work) throws Exception {
        final CompletableFuture<T> done = new CompletableFuture<>();
        Platform.runLater(() -> {
            try {
                done.complete(work.call());
            } catch (final Exception problem) {
                done.completeExceptionally(problem);
            }
        });
        return done.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    private static <T> T waitFor(final Callable<T> look) throws Exception {
        final long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (System.nanoTime() < deadline) {
            final T found = look.call();
            if (found != null) {
                return found;
            }
            Thread.sleep(50);
        }
        throw new IllegalStateException("no question was asked within " + PATIENCE_SECONDS + " s");
    }
}
