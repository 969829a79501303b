package attpc.screens;

import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import javafx.application.Platform;
import javafx.event.Event;
import javafx.scene.Node;
import javafx.scene.Parent;
import javafx.scene.control.ButtonBase;
import javafx.scene.control.ButtonType;
import javafx.scene.control.DialogPane;
import javafx.scene.control.TextInputControl;
import javafx.scene.input.KeyCode;
import javafx.scene.input.KeyEvent;
import javafx.stage.Stage;
import javafx.stage.Window;
import org.csstudio.display.builder.model.ChildrenProperty;
import org.csstudio.display.builder.model.DisplayModel;
import org.csstudio.display.builder.model.Widget;
import org.csstudio.display.builder.model.persist.ModelLoader;
import org.csstudio.display.builder.model.widgets.EmbeddedDisplayWidget;
import org.csstudio.display.builder.model.widgets.VisibleWidget;
import org.csstudio.display.builder.representation.javafx.JFXStageRepresentation;
import org.csstudio.display.builder.representation.javafx.widgets.JFXBaseRepresentation;
import org.csstudio.display.builder.runtime.RuntimeUtil;
import org.phoebus.framework.macros.Macros;
import org.phoebus.ui.javafx.Screenshot;

/** One window of the display runtime, and what a person does in it. Not to be used on JavaFX's thread. */
final class Screen {
    private static final int PATIENCE_SECONDS = 30;

    private Stage stage;
    private DisplayModel model;

    /** Shows a display in place of the one before. */
    void open(final File file, final Map<String, String> given) throws Exception {
        close();
        final DisplayModel loaded = ModelLoader.loadModel(file.getPath());
        final Macros macros = new Macros();
        given.forEach(macros::add);
        loaded.propMacros().setValue(macros);
        onScreen(() -> {
            stage = new Stage();
            final JFXStageRepresentation toolkit = new JFXStageRepresentation(stage);
            RuntimeUtil.hookRepresentationListener(toolkit);
            final Consumer<DisplayModel> closed = RuntimeUtil::stopRuntime;
            final Parent parent = toolkit.configureStage(loaded, closed);
            toolkit.representModel(parent, loaded);
            return null;
        });
        RuntimeUtil.startRuntime(loaded);
        model = loaded;
    }

    /** Ends the display and its window. */
    void close() throws Exception {
        if (model != null) {
            RuntimeUtil.stopRuntime(model);
            model = null;
            onScreen(() -> {
                stage.close();
                return null;
            });
        }
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

    /** Presses the button of this name and says Yes to the question that follows. */
    void press(final String name) throws Exception {
        final ButtonBase button = (ButtonBase) onScreen(() -> node(name).lookup(".action_button"));
        Platform.runLater(button::fire);
        final DialogPane question = waitFor(() -> onScreen(Screen::dialog));
        onScreen(() -> {
            final ButtonType answer = question.getButtonTypes().contains(ButtonType.YES) ? ButtonType.YES : ButtonType.OK;
            ((ButtonBase) question.lookupButton(answer)).fire();
            return null;
        });
    }

    /** Types a text into the field of this name and presses Enter. */
    void type(final String name, final String text) throws Exception {
        onScreen(() -> {
            final TextInputControl field = (TextInputControl) node(name);
            field.requestFocus();
            field.setText(text);
            Event.fireEvent(field, new KeyEvent(
                    KeyEvent.KEY_PRESSED, "", "", KeyCode.ENTER, false, false, false, false));
            return null;
        });
    }

    private Node node(final String name) {
        for (final Widget widget : widgets(model)) {
            if (widget.getName().equals(name)) {
                return JFXBaseRepresentation.getJFXNode(widget);
            }
        }
        throw new IllegalArgumentException("no widget is named " + name);
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
