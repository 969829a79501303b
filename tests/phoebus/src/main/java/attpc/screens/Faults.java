package attpc.screens;

import java.util.ArrayList;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** Keeps everything that Phoebus logs as a warning or worse: on a good screen there is nothing. */
final class Faults extends Handler {
    private static final List<String> HARMLESS = List.of(
            // JavaFX is on the class path, as in Phoebus' own distribution.
            "Unsupported JavaFX configuration",
            // A chart was not drawn within half a second, on a busy machine; the next time it is.
            "Skipping image update",
            // JavaFX styled a control before it knew the colours of the window; on the next pulse it does.
            "Caught 'java.lang.ClassCastException: class java.lang.String cannot be cast to class javafx.scene.paint.",
            "Could not resolve '-fx-text-background-color' while resolving lookups for",
            // The icon of a part of Phoebus that is not at hand.
            "Cannot load image '/icons/filebrowser.png'",
            // A PV connected before Phoebus had noted its channel; it subscribes all the same.
            "Subscription uses ",
            // A disabled text entry of several lines was updated before JavaFX had drawn it; then it is updated again.
            "Representation update failed (java.lang.NullPointerException: Cannot invoke \"javafx.scene.Node.setCursor(");

    private final List<String> lines = new ArrayList<>();
    private final SimpleFormatter formatter = new SimpleFormatter();

    /** @return a collector that hears every logger of this process */
    static Faults listen() {
        final Faults faults = new Faults();
        faults.setLevel(Level.WARNING);
        Logger.getLogger("").addHandler(faults);
        Thread.setDefaultUncaughtExceptionHandler((thread, problem) -> faults.add(thread.getName() + ": " + problem));
        return faults;
    }

    /** Adds a fault that we found ourselves. */
    synchronized void add(final String line) {
        lines.add(line);
    }

    /** @return all faults since the last call, one a line */
    synchronized List<String> take() {
        final List<String> taken = List.copyOf(lines);
        lines.clear();
        return taken;
    }

    @Override
    public synchronized void publish(final LogRecord record) {
        if (isLoggable(record) && !isHarmless(record)) {
            lines.add(record.getLevel() + " " + record.getLoggerName() + ": " + text(record));
        }
    }

    private boolean isHarmless(final LogRecord record) {
        return HARMLESS.stream().anyMatch(text(record)::startsWith);
    }

    private String text(final LogRecord record) {
        final Throwable cause = record.getThrown();
        return formatter.formatMessage(record) + (cause == null ? "" : " (" + cause + ")");
    }

    @Override
    public void flush() {
    }

    @Override
    public void close() {
    }
}
