package attpc.screens;

import java.io.BufferedReader;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import javafx.application.Platform;
import org.csstudio.display.builder.model.ModelPlugin;
import org.phoebus.framework.preferences.PropertyPreferenceLoader;

/**
 * The display runtime, driven by lines on stdin; fields are parted by tabs. Each line is answered by lines that begin with
 * a tab, and at last by "ok" or "error" and a reason:
 *
 * <pre>
 * check FILE [NAME=VALUE…]       compare what Phoebus reads of a display to what the file says
 * open FILE [NAME=VALUE…]        show a display with these macros
 * connected                      list the PVs that are connected
 * disconnected                   list the widgets whose PVs are not all connected
 * save FILE TARGET               write a display as Phoebus' editor saves it
 * enabled                        list the PVs of the buttons, text entries and choices that can be operated
 * visible                        list the texts and PVs that are seen
 * press NAME                     press a button, answer Yes
 * mark NAME ROW                  mark a row of a table
 * type PV TEXT                   type into the text entry of a PV in place of what it shows, press Enter
 * shown PV                       tell what the text entry of a PV shows
 * shot FILE                      write a PNG
 * faults                         list what was logged as a warning or worse since the last time
 * </pre>
 *
 * It is no Application itself: otherwise Java would insist on JavaFX as modules. The working directory is the folder of the
 * displays, as the paths in settings.ini want it.
 */
public final class Main {
    private final Faults faults = Faults.listen();
    private final Screen screen = new Screen();

    private Main() {
    }

    /** Loads the settings files that are named, then runs until stdin ends. */
    public static void main(final String[] arguments) throws Exception {
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8));
        final Main main = new Main();
        for (final String settings : arguments) {
            PropertyPreferenceLoader.load(settings);
        }
        ModelPlugin.reloadConfigurationFiles();
        Platform.startup(() -> Platform.setImplicitExit(false));
        final BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            main.answer(line.split("\t", -1));
        }
        main.screen.close();
        Platform.exit();
        System.exit(0);
    }

    private void answer(final String[] words) {
        try {
            for (final String line : carryOut(words)) {
                System.out.println("\t" + line.replace('\n', ' '));
            }
            System.out.println("ok");
        } catch (final Exception problem) {
            System.out.println("error " + String.valueOf(problem).replace('\n', ' '));
        }
        System.out.flush();
    }

    private List<String> carryOut(final String[] words) throws Exception {
        switch (words[0]) {
            case "check" -> new ModelCheck(faults).check(new File(words[1]), macros(words));
            case "open" -> screen.open(new File(words[1]), macros(words));
            case "connected" -> {
                return Screen.connected();
            }
            case "disconnected" -> {
                return screen.disconnected();
            }
            case "save" -> ModelCheck.save(new File(words[1]), new File(words[2]));
            case "enabled" -> {
                return screen.enabled();
            }
            case "visible" -> {
                return screen.visible();
            }
            case "press" -> screen.press(words[1]);
            case "mark" -> screen.mark(words[1], Integer.parseInt(words[2]));
            case "type" -> screen.type(words[1], words[2]);
            case "shown" -> {
                return List.of(screen.shown(words[1]));
            }
            case "shot" -> screen.photograph(new File(words[1]));
            case "faults" -> {
                return faults.take();
            }
            default -> throw new IllegalArgumentException("unknown command " + words[0]);
        }
        return List.of();
    }

    private static Map<String, String> macros(final String[] words) {
        final Map<String, String> found = new HashMap<>();
        for (int i = 2; i < words.length; i++) {
            final int sign = words[i].indexOf('=');
            found.put(words[i].substring(0, sign), words[i].substring(sign + 1));
        }
        return found;
    }
}
