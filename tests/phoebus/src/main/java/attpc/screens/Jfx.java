package attpc.screens;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import javafx.application.Platform;
import javafx.scene.Node;
import javafx.scene.Parent;
import org.csstudio.display.builder.model.ChildrenProperty;
import org.csstudio.display.builder.model.DisplayModel;
import org.csstudio.display.builder.model.Widget;
import org.csstudio.display.builder.model.widgets.EmbeddedDisplayWidget;
import org.csstudio.display.builder.representation.javafx.widgets.JFXBaseRepresentation;

/** Work on JavaFX's thread, and the way from Phoebus' widgets to JavaFX's nodes. */
final class Jfx {
    /** A machine with twenty busy processes takes minutes for what is done in a second otherwise. */
    static final int PATIENCE_SECONDS = 300;

    private Jfx() {
    }

    /** @return what `work` returns, done on JavaFX's thread */
    static <T> T on(final Callable<T> work) throws Exception {
        final CompletableFuture<T> done = new CompletableFuture<>();
        Platform.runLater(() -> {
            try {
                done.complete(work.call());
            } catch (final Exception problem) {
                done.completeExceptionally(problem);
            }
        });
        try {
            return done.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
        } catch (final ExecutionException problem) {
            throw problem.getCause() instanceof Exception cause ? cause : problem;
        }
    }

    /** @return what `look` finds, as soon as it is not null */
    static <T> T until(final String otherwise, final Callable<T> look) throws Exception {
        final long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (System.nanoTime() < deadline) {
            final T found = look.call();
            if (found != null) {
                return found;
            }
            Thread.sleep(20);
        }
        throw new IllegalStateException(otherwise + " within " + PATIENCE_SECONDS + " s");
    }

    /** @return all widgets in a display, those in groups and in embedded displays too */
    static List<Widget> widgets(final Widget holder) {
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

    /** @return the node that represents a widget, null before there is one; on JavaFX's thread */
    static Node node(final Widget widget) {
        return widget.getUserData(Widget.USER_DATA_REPRESENTATION) == null ? null : JFXBaseRepresentation.getJFXNode(widget);
    }

    /** @return whether a widget and all that holds it are visible; on JavaFX's thread */
    static boolean isSeen(final Widget widget) {
        Node node = node(widget);
        boolean seen = node != null;
        while (node != null) {
            seen &= node.isVisible();
            node = node.getParent();
        }
        return seen;
    }

    /** @return the first node of this kind, `node` itself or below it, null if there is none; on JavaFX's thread */
    static <T extends Node> T find(final Node node, final Class<T> kind) {
        if (kind.isInstance(node)) {
            return kind.cast(node);
        }
        for (final Node child : parts(node)) {
            final T found = find(child, kind);
            if (found != null) {
                return found;
            }
        }
        return null;
    }

    /** @return the nodes directly in `node` */
    static List<Node> parts(final Node node) {
        return node instanceof Parent parent ? parent.getChildrenUnmodifiable() : List.of();
    }
}
