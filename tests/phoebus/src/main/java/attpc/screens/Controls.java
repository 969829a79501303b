package attpc.screens;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import javafx.application.Platform;
import javafx.event.Event;
import javafx.scene.Node;
import javafx.scene.control.ButtonBase;
import javafx.scene.control.ButtonType;
import javafx.scene.control.ComboBox;
import javafx.scene.control.DialogPane;
import javafx.scene.control.TableColumn;
import javafx.scene.control.TableView;
import javafx.scene.control.TextArea;
import javafx.scene.control.TextInputControl;
import javafx.scene.input.KeyCode;
import javafx.scene.input.KeyEvent;
import javafx.stage.Window;
import org.csstudio.display.actions.ExecuteScriptAction;
import org.csstudio.display.actions.WritePVAction;
import org.csstudio.display.builder.model.Widget;
import org.csstudio.display.builder.model.WidgetProperty;
import org.csstudio.display.builder.model.spi.ActionInfo;
import org.csstudio.display.builder.model.widgets.ActionButtonWidget;
import org.csstudio.display.builder.model.widgets.TableWidget;
import org.csstudio.display.builder.model.widgets.TextEntryWidget;
import org.csstudio.display.builder.model.widgets.WritablePVWidget;
import org.csstudio.display.builder.runtime.WidgetRuntime;
import org.csstudio.display.builder.runtime.pv.RuntimePV;
import org.phoebus.framework.macros.MacroHandler;
import org.phoebus.ui.javafx.StringTable;

/**
 * What a person can press, choose and type on a screen. A control is known by the PV that it writes: two that write one PV
 * do the same. Not to be used on JavaFX's thread.
 */
final class Controls {
    private final Screen screen;

    Controls(final Screen screen) {
        this.screen = screen;
    }

    /** @return the PVs that can be written from this screen now, once for each control */
    List<String> enabled() throws Exception {
        final List<String> found = new ArrayList<>();
        for (final Widget widget : operable()) {
            found.add(pv(widget));
        }
        return found;
    }

    private List<Widget> operable() throws Exception {
        final List<Widget> widgets = screen.widgets();
        return Jfx.on(() -> widgets.stream().filter(widget -> isControl(widget) && isTrue(widget, "enabled")
                && isTrue(widget, "pv_writable") && Jfx.isSeen(widget)).toList());
    }

    /**
     * @return for each control that is on this screen its PV, whether it is enabled, can be written, and is seen, then the
     *     PVs that it waits for and what they have; those of a rule are missing before the rule has begun
     */
    List<String> controls() throws Exception {
        final List<String> found = new ArrayList<>();
        for (final Widget widget : screen.widgets()) {
            if (isControl(widget)) {
                final String state = String.join("\t", pv(widget), String.valueOf(isTrue(widget, "enabled")),
                        String.valueOf(isTrue(widget, "pv_writable")), String.valueOf(Jfx.on(() -> Jfx.isSeen(widget))));
                final WidgetRuntime<Widget> runtime = WidgetRuntime.ofWidget(widget);
                final Collection<RuntimePV> inputs = runtime == null ? List.of() : runtime.getPVs();
                found.add(state + "\t" + inputs.stream().map(input -> input.getName() + " = " + input.read()).sorted()
                        .collect(Collectors.joining("; ")));
            }
        }
        return found;
    }

    /** A button that leads to another display is none. */
    private static boolean isControl(final Widget widget) {
        if (widget instanceof ActionButtonWidget button) {
            return button.propActions().getValue().getActions().stream()
                    .anyMatch(action -> action instanceof WritePVAction || action instanceof ExecuteScriptAction);
        }
        return widget instanceof WritablePVWidget;
    }

    private static boolean isTrue(final Widget widget, final String property) {
        final Optional<WidgetProperty<Object>> found = widget.checkProperty(property);
        return found.isEmpty() || Boolean.TRUE.equals(found.get().getValue());
    }

    private static String pv(final Widget widget) throws Exception {
        final String own = widget.getPropertyValue("pv_name");
        if (own.isEmpty() && widget instanceof ActionButtonWidget button) {
            for (final ActionInfo action : button.propActions().getValue().getActions()) {
                if (action instanceof WritePVAction writing) {
                    return MacroHandler.replace(widget.getMacrosOrProperties(), writing.getPV());
                }
            }
        }
        return own;
    }

    private <T extends Node> List<T> nodes(final String pv, final Class<T> kind) throws Exception {
        final List<T> found = new ArrayList<>();
        for (final Widget widget : operable()) {
            if (pv(widget).equals(pv)) {
                final T node = Jfx.on(() -> Jfx.find(Jfx.node(widget), kind));
                if (node != null) {
                    found.add(node);
                }
            }
        }
        if (found.isEmpty()) {
            throw new IllegalStateException("no " + kind.getSimpleName() + " that can be operated writes " + pv);
        }
        return found;
    }

    /**
     * Presses the button that writes this PV, or what is switched by a press, and answers the question that follows.
     * With No, every such button is pressed, one after the other.
     *
     * @param answer yes, no, or none where no question is asked
     * @return the questions
     */
    List<String> press(final String pv, final String answer) throws Exception {
        final List<String> questions = new ArrayList<>();
        for (final ButtonBase button : nodes(pv, ButtonBase.class)) {
            Platform.runLater(button::fire);
            if (answer.equals("none")) {
                return List.of();
            }
            questions.add(say(answer.equals("yes")));
            if (answer.equals("yes")) {
                break;
            }
        }
        return questions;
    }

    private static String say(final boolean yes) throws Exception {
        final DialogPane question = Jfx.until("no question was asked", () -> Jfx.on(Controls::dialog));
        final String asked = question.getHeaderText();
        Jfx.on(() -> {
            ((ButtonBase) question.lookupButton(yes ? ButtonType.YES : ButtonType.NO)).fire();
            return null;
        });
        Jfx.until("the question stayed", () -> Jfx.on(() -> dialog() == null ? true : null));
        return asked;
    }

    /** @return what the dialogs say that are open, each in a line */
    static List<String> dialogs() throws Exception {
        return Jfx.on(() -> Window.getWindows().stream()
                .filter(window -> window.getScene() != null && window.getScene().getRoot() instanceof DialogPane)
                .map(window -> (DialogPane) window.getScene().getRoot())
                .map(pane -> "a dialog is open: " + pane.getHeaderText() + " " + pane.getContentText()).toList());
    }

    private static DialogPane dialog() {
        for (final Window window : Window.getWindows()) {
            if (window.getScene() != null && window.getScene().getRoot() instanceof DialogPane pane) {
                return pane;
            }
        }
        return null;
    }

    /** Marks a row, from 0, of the table of this name. */
    void mark(final String name, final int row) throws Exception {
        final TableView<Object> view = table(name);
        Jfx.on(() -> {
            if (row >= view.getItems().size()) {
                throw new IllegalStateException("no row that can be operated: " + name + " has " + view.getItems().size());
            }
            view.getSelectionModel().clearAndSelect(row, view.getColumns().get(0));
            return null;
        });
    }

    /** @return the titles, then the rows of the table of this name, cells parted by tabs */
    List<String> rows(final String name) throws Exception {
        final List<String> found = new ArrayList<>();
        for (final Widget widget : screen.widgets()) {
            if (widget instanceof TableWidget && widget.getName().equals(name)) {
                Jfx.on(() -> {
                    final StringTable table = (StringTable) Jfx.node(widget);
                    found.add(String.join("\t", table.getHeaders()));
                    table.getData().forEach(row ->
                            found.add(row.stream().map(String::strip).collect(Collectors.joining("\t"))));
                    return null;
                });
            }
        }
        return found;
    }

    @SuppressWarnings("unchecked")
    private TableView<Object> table(final String name) throws Exception {
        for (final Widget widget : screen.widgets()) {
            if (widget instanceof TableWidget && widget.getName().equals(name)) {
                return (TableView<Object>) Jfx.on(() -> Jfx.find(Jfx.node(widget), TableView.class));
            }
        }
        throw new IllegalArgumentException("there is no table named " + name);
    }

    /**
     * Chooses another item of the list that writes this PV, and answers the question that follows. After a choice the
     * list shows it until Phoebus has put the value of the PV back, and choosing the same would be none.
     *
     * @param answer yes, no, or none where no question is asked
     */
    void choose(final String pv, final String item, final String answer) throws Exception {
        @SuppressWarnings("unchecked")
        final ComboBox<String> box = (ComboBox<String>) nodes(pv, ComboBox.class).get(0);
        Jfx.until(pv + " was " + item + " already", () -> Jfx.on(() -> item.equals(box.getValue()) ? null : true));
        Jfx.on(() -> {
            if (!box.getItems().contains(item)) {
                throw new IllegalArgumentException(pv + " offers " + box.getItems() + ", not " + item);
            }
            box.setValue(item);
            return null;
        });
        if (!answer.equals("none")) {
            say(answer.equals("yes"));
        }
    }

    /**
     * Types a text into the entry of this PV in place of what is there, and presses Enter, or Ctrl-Enter if it has several
     * lines. Every key goes through the field: the first one tells Phoebus that somebody types.
     */
    void type(final String pv, final String text) throws Exception {
        final TextInputControl field = nodes(pv, TextInputControl.class).get(0);
        Jfx.on(() -> {
            if (!field.isEditable()) {
                throw new IllegalStateException("no TextInputControl that can be operated writes " + pv);
            }
            field.requestFocus();
            press(field, KeyCode.HOME, false);
            field.selectAll();
            press(field, KeyCode.BACK_SPACE, false);
            text.codePoints().mapToObj(Character::toString).forEach(character -> Event.fireEvent(
                    field,
                    new KeyEvent(KeyEvent.KEY_TYPED, character, "", KeyCode.UNDEFINED, false, false, false, false)));
            if (!field.getText().equals(text)) {
                throw new IllegalStateException("typing left " + field.getText() + " in the entry of " + pv);
            }
            press(field, KeyCode.ENTER, field instanceof TextArea);
            return null;
        });
    }

    private static void press(final Node node, final KeyCode key, final boolean ctrl) {
        Event.fireEvent(node, new KeyEvent(KeyEvent.KEY_PRESSED, "", "", key, false, ctrl, false, false));
    }

    /** @return what the text entry or the list of this PV shows */
    String shown(final String pv) throws Exception {
        for (final Widget widget : screen.widgets()) {
            if (widget instanceof WritablePVWidget && pv(widget).equals(pv)) {
                final String text = Jfx.on(() -> {
                    if (Jfx.node(widget) instanceof ComboBox<?> box) {
                        return String.valueOf(box.getValue());
                    }
                    return widget instanceof TextEntryWidget ? ((TextInputControl) Jfx.node(widget)).getText() : null;
                });
                if (text != null) {
                    return text;
                }
            }
        }
        throw new IllegalArgumentException("there is no text entry or list of " + pv);
    }
}
