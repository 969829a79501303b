package attpc.screens;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;
import java.util.stream.Collectors;

/**
 * Keeps everything that Phoebus logs as a warning or worse, with the packages of others that an exception came
 * through: on a good screen there is nothing.
 */
final class Faults extends Handler {
    private static final String OURS = Faults.class.getPackageName() + ".";
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
        if (isLoggable(record)) {
            lines.add(record.getLevel() + " " + record.getLoggerName() + ": " + text(record));
        }
    }

    private String text(final LogRecord record) {
        final Throwable cause = record.getThrown();
        if (cause == null) {
            return formatter.formatMessage(record);
        }
        final String packages = Arrays.stream(cause.getStackTrace()).map(StackTraceElement::getClassName)
                .filter(name -> !name.startsWith(OURS))
                .map(name -> Arrays.stream(name.split("[.]")).limit(3).collect(Collectors.joining(".")))
                .distinct().sorted()
                .collect(Collectors.joining(", "));
        return formatter.formatMessage(record) + " (" + cause + ", in " + packages + ")";
    }

    @Override
    public void flush() {
    }

    @Override
    public void close() {
    }
}
