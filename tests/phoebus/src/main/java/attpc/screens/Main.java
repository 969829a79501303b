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
import java.util.logging.Level;
import java.util.logging.Logger;
import java.util.stream.Stream;
import javafx.application.Platform;
import javafx.geometry.Orientation;
import org.csstudio.display.builder.model.ModelPlugin;
import org.phoebus.framework.preferences.PropertyPreferenceLoader;

/**
 * The display runtime, driven by lines on stdin; fields are parted by tabs. Each line is answered by lines that begin with
 * a tab, and at last by "ok" or "error" and a reason:
 *
 * <pre>
 * check FILE [NAME=VALUE…]       compare what Phoebus reads of a display to what the file says
 * save FILE TARGET               write a display as Phoebus' editor saves it
 * read READER FILE               read a file beside the screens; READER is the class that does it
 * open FILE [NAME=VALUE…]        show a display with these macros
 * undrawn FILE                   run a display that is not drawn
 * busy SECONDS                   occupy JavaFX's thread, as a busy machine does
 * late PV                        connect to a PV, without any display, in a thread that has to wait for the processor
 * closed PV                      read a PV, without Phoebus, in a thread that has to wait while the connection is closed
 * follow FILE [NAME=VALUE…]      press the button that leads to a display
 * file NAME                      press the button that opens a file, tell which part of Phoebus opened which file
 * leave NAME                     leave the display running under this name, look at none
 * back NAME                      look at the display that was left running
 * connected                      list the PVs that are connected
 * disconnected                   list the widgets whose PVs are not all connected
 * enabled                        list the PVs that can be written from the screen now
 * controls                       tell of each control why it can be operated or not
 * visible                        list the texts and PVs that are seen
 * texts                          measure every text that is seen
 * blank                          list the texts that are seen but not drawn
 * tooltips                       list what the tooltips of all that is seen say
 * bars DIRECTION                 list the embedded displays with a bar to scroll HORIZONTAL or VERTICAL
 * press PV ANSWER                press the button that writes a PV; ANSWER to its question is yes, no or none
 * alone                          end all displays that were left running
 * mark NAME ROW                  mark a row of the table of this name
 * rows NAME                      list the titles and the rows of the table of this name, cells parted by tabs
 * choose PV ITEM                 choose an item of the list that writes a PV
 * type PV TEXT                   type into the text entry of a PV in place of what it shows, press Enter
 * shown PV                       tell what the text entry or the list of a PV shows
 * shot FILE                      write a PNG
 * faults                         list what was logged as a warning or worse since the last time, and dialogs that are open
 * </pre>
 *
 * It is no Application itself: otherwise Java would insist on JavaFX as modules. The working directory is the folder of the
 * displays, as the paths in settings.ini want it.
 */
public final class Main {
    /** Tells of each rule and script that is carried out, with all its variables: most of the log. */
    private static final Logger SCRIPTS = Logger.getLogger("org.csstudio.display.builder.runtime");

    private final Faults faults = Faults.listen();
    private final Screen screen = new Screen();
    private final Controls controls = new Controls(screen);
    private final Texts texts = new Texts(screen);
    private final Around around = new Around(screen);

    private Main() {
    }

    /** Loads the settings files that are named, then runs until stdin ends. */
    public static void main(final String[] arguments) throws Exception {
        System.setOut(new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8));
        SCRIPTS.setLevel(Level.WARNING);
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
            case "save" -> ModelCheck.save(new File(words[1]), new File(words[2]));
            case "open" -> screen.open(new File(words[1]), macros(words));
            case "undrawn" -> screen.open(new File(words[1]), Map.of(), false);
            case "busy" -> Jfx.on(() -> {
                Thread.sleep(1000L * Integer.parseInt(words[1]));
                return null;
            });
            case "late" -> LateContext.connect(words[1]);
            case "closed" -> LateReactor.close(words[1]);
            case "follow" -> screen.follow(words[1], macros(words));
            case "leave" -> screen.leave(words[1]);
            case "back" -> screen.back(words[1]);
            case "alone" -> screen.endOthers();
            case "mark" -> controls.mark(words[1], Integer.parseInt(words[2]));
            case "choose" -> controls.choose(words[1], words[2], words[3]);
            case "type" -> controls.type(words[1], words[2]);
            case "shot" -> screen.photograph(new File(words[1]));
            default -> {
                return find(words);
            }
        }
        return List.of();
    }

    private List<String> find(final String[] words) throws Exception {
        return switch (words[0]) {
            case "read" -> reader(words[1]).read(new File(words[2]));
            case "file" -> screen.openFile(words[1]);
            case "connected" -> Screen.connected();
            case "disconnected" -> screen.disconnected();
            case "enabled" -> controls.enabled();
            case "controls" -> controls.controls();
            case "visible" -> texts.visible();
            case "texts" -> texts.measured();
            case "blank" -> texts.blank();
            case "tooltips" -> around.tooltips();
            case "bars" -> around.bars(Orientation.valueOf(words[1]));
            case "press" -> controls.press(words[1], words[2]);
            case "rows" -> controls.rows(words[1]);
            case "shown" -> List.of(controls.shown(words[1]));
            case "faults" -> Stream.concat(faults.take().stream(), Controls.dialogs().stream()).toList();
            default -> throw new IllegalArgumentException("unknown command " + words[0]);
        };
    }

    /** Found by its name, since those whose part of Phoebus is not at hand are not compiled. */
    private static FileReader reader(final String name) throws Exception {
        return (FileReader) Class.forName("attpc.screens." + name).getDeclaredConstructor().newInstance();
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
