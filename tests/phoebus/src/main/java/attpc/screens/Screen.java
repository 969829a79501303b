package attpc.screens;

import java.io.File;
import java.util.ArrayList;
import java.util.Collection;
import java.util.ConcurrentModificationException;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import javafx.scene.Node;
import javafx.scene.Parent;
import javafx.scene.control.ButtonBase;
import javafx.stage.Stage;
import javafx.stage.Window;
import org.csstudio.display.actions.OpenDisplayAction;
import org.csstudio.display.actions.OpenFileAction;
import org.csstudio.display.builder.model.DisplayModel;
import org.csstudio.display.builder.model.Widget;
import org.csstudio.display.builder.model.persist.ModelLoader;
import org.csstudio.display.builder.model.spi.ActionInfo;
import org.csstudio.display.builder.model.widgets.ActionButtonWidget;
import org.csstudio.display.builder.model.widgets.VisibleWidget;
import org.csstudio.display.builder.representation.javafx.JFXRepresentation;
import org.csstudio.display.builder.representation.javafx.JFXStageRepresentation;
import org.csstudio.display.builder.runtime.RuntimeUtil;
import org.phoebus.framework.macros.MacroHandler;
import org.phoebus.framework.macros.Macros;
import org.phoebus.pv.PV;
import org.phoebus.pv.PVPool;
import org.phoebus.pv.RefCountMap;
import org.phoebus.ui.docking.DockItem;
import org.phoebus.ui.docking.DockItemWithInput;
import org.phoebus.ui.docking.DockPane;
import org.phoebus.ui.docking.DockStage;
import org.phoebus.ui.javafx.Screenshot;
import org.phoebus.ui.javafx.Styles;

/**
 * The window of the display runtime that is looked at: which display is in it, and what it looks like. Others can stay open
 * beside it. Not to be used on JavaFX's thread.
 */
final class Screen {
    private Stage stage;
    private DisplayModel model;
    private final Map<String, Screen> others = new HashMap<>();

    /**
     * Leaves the display running under a name, and looks at none. As in a tab behind others, its content is invisible:
     * JavaFX draws each window that is shown, whether another covers it or not, and would be busy with all of their clocks.
     */
    void leave(final String name) throws Exception {
        final Screen left = new Screen();
        Jfx.on(() -> {
            stage.getScene().getRoot().setVisible(false);
            return null;
        });
        left.stage = stage;
        left.model = model;
        stage = null;
        model = null;
        others.put(name, left);
    }

    /** Ends all displays that were left running. */
    void endOthers() throws Exception {
        for (final Screen left : others.values()) {
            left.close();
        }
        others.clear();
    }

    /** Looks at the display that was left running under a name in place of the one before. */
    void back(final String name) throws Exception {
        final Screen left = others.remove(name);
        if (left == null) {
            throw new IllegalArgumentException("no display was left running as " + name);
        }
        close();
        stage = left.stage;
        model = left.model;
        Jfx.on(() -> {
            stage.getScene().getRoot().setVisible(true);
            stage.toFront();
            return null;
        });
    }

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
        open(file, given, true);
    }

    /** Runs a display that is not drawn, as before the first frame of a busy machine. */
    void open(final File file, final Map<String, String> given, final boolean drawn) throws Exception {
        close();
        final DisplayModel loaded = load(file, given);
        final JFXStageRepresentation toolkit = Jfx.on(() -> {
            stage = new Stage();
            final JFXStageRepresentation made = new JFXStageRepresentation(stage);
            RuntimeUtil.hookRepresentationListener(made);
            final Parent parent = made.configureStage(loaded, RuntimeUtil::stopRuntime);
            Styles.setSceneStyle(stage.getScene());
            if (!drawn) {
                stage.hide();
            }
            made.representModel(parent, loaded);
            return made;
        });
        model = loaded;
        RuntimeUtil.startRuntime(loaded);
        toolkit.awaitRepresentation(Jfx.PATIENCE_SECONDS, TimeUnit.SECONDS);
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
            Jfx.on(() -> {
                JFXRepresentation.getToolkit(shown).disposeRepresentation(shown);
                stage.close();
                return null;
            });
            shown.dispose();
        }
    }

    /**
     * Presses a button that leads to this display with these macros: it is in the same window, or in a new one, which then
     * takes the place of the one before.
     */
    void follow(final String file, final Map<String, String> macros) throws Exception {
        final Widget link = link(file, macros);
        final DisplayModel before = model;
        final Set<Window> windows = new HashSet<>(Jfx.on(() -> List.copyOf(Window.getWindows())));
        final ButtonBase button = Jfx.on(() -> Jfx.find(Jfx.node(link), ButtonBase.class));
        Jfx.on(() -> {
            button.fire();
            return null;
        });
        final Stage where = Jfx.until(file + " was not opened", () -> Jfx.on(() -> {
            for (final Window window : Window.getWindows()) {
                if (window instanceof Stage candidate && (window == stage || !windows.contains(window))) {
                    final DisplayModel found = shownIn(candidate);
                    if (found != null && found != before) {
                        return candidate;
                    }
                }
            }
            return null;
        }));
        final DisplayModel opened = Jfx.on(() -> shownIn(where));
        if (where != stage) {
            close();
            stage = where;
            RuntimeUtil.startRuntime(opened);
        }
        model = opened;
        final String path = opened.getUserData(DisplayModel.USER_DATA_INPUT_FILE);
        final String name = new File(path).getName();
        if (!name.equals(file)) {
            throw new IllegalStateException("the button led to " + name);
        }
        for (final Map.Entry<String, String> macro : macros.entrySet()) {
            final String given = opened.getEffectiveMacros().getValue(macro.getKey());
            if (!macro.getValue().equals(given)) {
                throw new IllegalStateException("the button gave " + macro.getKey() + "=" + given);
            }
        }
    }

    /**
     * Presses the button that opens this file, beside which Phoebus' main window with its tabs is there.
     *
     * @return the name of the part of Phoebus that opened it in a tab, and what it opened
     */
    List<String> openFile(final String file) throws Exception {
        final Widget opener = opener(file);
        final Stage main = Jfx.on(() -> {
            final Stage made = new Stage();
            DockPane.setActiveDockPane(DockStage.configureStage(made));
            made.show();
            return made;
        });
        try {
            Jfx.on(() -> {
                Jfx.find(Jfx.node(opener), ButtonBase.class).fire();
                return null;
            });
            return Jfx.until(file + " was not opened", () -> Jfx.on(() -> {
                for (final DockPane pane : DockStage.getDockPanes(main)) {
                    for (final DockItem item : pane.getDockItems()) {
                        if (item instanceof DockItemWithInput opened && isLoaded(opened)) {
                            return List.of(opened.getApplication().getAppDescriptor().getName(), opened.getInput().getPath());
                        }
                    }
                }
                return null;
            }));
        } finally {
            DockStage.prepareToCloseItems(main);
            Jfx.on(() -> {
                DockStage.closeItems(main);
                main.close();
                return null;
            });
        }
    }

    /** Data Browser loads its file after the tab has it; it is not compiled in, since it may not be at hand. */
    private static boolean isLoaded(final DockItemWithInput opened) throws ReflectiveOperationException {
        if (opened.getInput() == null) {
            return false;
        }
        final Object model = opened.getApplication().getClass().getMethod("getModel").invoke(opened.getApplication());
        return !((Collection<?>) model.getClass().getMethod("getItems").invoke(model)).isEmpty();
    }

    private Widget opener(final String file) throws Exception {
        for (final Widget widget : widgets()) {
            if (widget instanceof ActionButtonWidget button && Jfx.on(() -> Jfx.isSeen(button))) {
                for (final ActionInfo action : button.propActions().getValue().getActions()) {
                    if (action instanceof OpenFileAction opening && opening.getFile().equals(file)) {
                        return button;
                    }
                }
            }
        }
        throw new IllegalArgumentException("no button opens " + file);
    }

    private Widget link(final String file, final Map<String, String> macros) throws Exception {
        for (final Widget widget : widgets()) {
            if (widget instanceof ActionButtonWidget button && Jfx.on(() -> Jfx.isSeen(button))) {
                for (final ActionInfo action : button.propActions().getValue().getActions()) {
                    if (action instanceof OpenDisplayAction opening && leads(button, opening, file, macros)) {
                        return button;
                    }
                }
            }
        }
        throw new IllegalArgumentException("no button leads to " + file + " " + macros);
    }

    private static boolean leads(
            final Widget button, final OpenDisplayAction action, final String file, final Map<String, String> macros)
            throws Exception {
        boolean same = MacroHandler.replace(button.getMacrosOrProperties(), action.getFile()).equals(file);
        for (final Map.Entry<String, String> macro : macros.entrySet()) {
            final String own = action.getMacros().getValue(macro.getKey());
            final String given = own == null ? "$(" + macro.getKey() + ")" : own;
            same &= MacroHandler.replace(button.getMacrosOrProperties(), given).equals(macro.getValue());
        }
        return same;
    }

    private static DisplayModel shownIn(final Stage window) {
        return window.getScene() == null ? null : shownBelow(window.getScene().getRoot());
    }

    private static DisplayModel shownBelow(final Node node) {
        if (node.hasProperties() && node.getProperties().get(JFXRepresentation.ACTIVE_MODEL) instanceof DisplayModel found) {
            return found;
        }
        for (final Node child : Jfx.parts(node)) {
            final DisplayModel found = shownBelow(child);
            if (found != null) {
                return found;
            }
        }
        return null;
    }

    /** @return all widgets that are in the window, those in embedded displays too */
    List<Widget> widgets() {
        return Jfx.widgets(model);
    }

    /**
     * Phoebus gives out its pool of PVs itself, not a copy, while its threads still add PVs: looks again when one did so.
     *
     * @return the PVs, of widgets and of rules, that are connected
     */
    static List<String> connected() throws Exception {
        return Jfx.until("the PVs could not be listed", () -> {
            final List<String> found = new ArrayList<>();
            try {
                for (final RefCountMap.ReferencedEntry<PV> reference : PVPool.getPVReferences()) {
                    final PV pv = reference.getEntry();
                    if (!PV.isDisconnected(pv.read())) {
                        found.add(pv.getName());
                    }
                }
            } catch (final ConcurrentModificationException changed) {
                return null;
            }
            return found;
        });
    }

    /** @return the widgets, those in embedded displays too, whose PVs are not all connected */
    List<String> disconnected() throws Exception {
        final List<String> found = new ArrayList<>();
        for (final Widget widget : widgets()) {
            if (widget instanceof VisibleWidget visible && !visible.runtimePropConnected().getValue()) {
                found.add(widget.getDisplayModel().getDisplayName() + ": " + widget);
            }
        }
        return found;
    }

    /** Writes what is seen to a PNG file. */
    void photograph(final File target) throws Exception {
        final Screenshot picture = Jfx.on(() -> new Screenshot(stage.getScene()));
        picture.writeToFile(target);
    }
}
